// Copyright The etcdreceiver Authors
// SPDX-License-Identifier: Apache-2.0

package gobinary

// The file belongs to somebody else. Nothing that it claims is allocated or
// walked before it is compared with one of these. "Real" figures are those of
// etcd 3.4 to 3.7, which has 27,000 to 48,000 functions.
const (
	// maxProgramHeaders: real files have about 12; 56 bytes each.
	maxProgramHeaders = 256

	// maxScanBytes is how much is searched in all for the function table, the
	// module data and the build info, 64 KiB at a time. Real: 5 MB. A sparse
	// file claims terabytes for nothing; this much takes 0.1 s to search.
	maxScanBytes = 256 << 20

	// maxCandidates is how many places may look like the start of what is
	// searched. Real: one or two. Each of them is read.
	maxCandidates = 100

	// maxRelocations: real position independent files have 130,000. 16 bytes
	// each are kept, so 32 MiB at worst, and as much while they are ordered.
	maxRelocations = 2 << 20

	// maxRelocatedPages limits the distance between them: 4 GiB, as code of Go
	// reaches no further. Real: 2,500 pages, of 4 bytes each.
	maxRelocatedPages = 1 << 20

	// maxPages is how many pages are read for small pieces in all. At
	// maxPagesKept, 4 MiB, all are forgotten. Real: 400 are read.
	maxPages     = 1 << 14
	maxPagesKept = 1 << 10

	// maxFunctions: 16 bytes each are read, none are kept.
	maxFunctions = 1 << 20

	// maxTableBytes limits the function table. Real: 10 MB.
	maxTableBytes = 256 << 20

	// maxNameTableBytes limits the names of all functions, which are read one
	// by one. Real: 4 MB.
	maxNameTableBytes = 64 << 20

	// maxFunctionBytes limits what is disassembled at once. The longest real
	// function, an initializer, has about 200 KB.
	maxFunctionBytes = 1 << 20

	// maxTypeBytes limits the distance between type descriptors, which are
	// named by 32-bit offsets. Real: 3 MB.
	maxTypeBytes = 1 << 30

	// maxTypelinks: real files have about 9,800. 4 bytes each are kept.
	maxTypelinks = 1 << 20

	// maxSameName is how many types may differ in nothing but their package.
	// Real: 5, called "Config".
	maxSameName = 100

	// maxItabs: real files have about 2,000. 16 bytes each are read at once.
	maxItabs = 1 << 16

	// maxFields of a struct. The largest that is asked for has about 50.
	maxFields = 500

	// maxNameBytes limits the name of a type or a field. Names of generic
	// types, and of structs without a name, are the long ones.
	maxNameBytes = 4 << 10

	// maxBuildInfoBytes limits each of the two texts of the build info. Real:
	// 6 KB, of which a list of modules is the most.
	maxBuildInfoBytes = 1 << 20
)
