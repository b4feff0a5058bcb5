package main

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

func main() {
	if os.Getpid() == 1 {
		for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}} {
			os.MkdirAll(m[1], 0o755)
			unix.Mount(m[0], m[1], m[0], 0, "")
		}
		defer unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	}
	all := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	unix.Setrlimit(unix.RLIMIT_MEMLOCK, &all)
	raw, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	only := ""
	if len(os.Args) > 2 {
		only = os.Args[2]
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		panic(err)
	}
	for name, p := range spec.Programs {
		if only != "" && name != only {
			continue
		}
		if p.Type == ebpf.Kprobe {
			p.AttachType = ebpf.AttachNone
		}
		one := spec.Copy()
		for n := range one.Programs {
			if n != name {
				delete(one.Programs, n)
			}
		}
		began := time.Now()
		c, err := ebpf.NewCollectionWithOptions(one, ebpf.CollectionOptions{})
		if err != nil {
			fmt.Printf("%s: %s %v\n", name, time.Since(began), err)
			continue
		}
		info, _ := c.Programs[name].Info()
		n, ok := info.VerifiedInstructions()
		fmt.Println(name, time.Since(began), n, ok)
		c.Close()
	}
}
