// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

// Package status asks every member of an etcd cluster how it is, and turns the
// answers into metrics and into events.
//
//	tick -> ask all members at once -> answers -> view of the cluster
//	                                               |-> record -> metrics
//	                                               '-> compare with the view before -> events
//
// One goroutine, Collector.Run, owns all state; each member is asked by a
// goroutine of its own that only hands back an answer. What has been answered
// half a second after the tick (half an interval, if that is shorter) leaves
// then; what comes later leaves when it comes. So a member that is dead, slow or
// frozen delays and empties nobody else. This is also why the collector's
// scraperhelper is not used: a scraper returns once, when the last member has
// answered.
package status
