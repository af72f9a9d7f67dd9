package runner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// findLayers tries what this machine has, with a process that does nothing.
func (r *Runner) findLayers() (*layers, error) {
	l := &layers{missing: make(map[string]string)}
	without := func(name string) bool { return slices.Contains(r.cfg.Without, name) }
	const leftOut = "left out by configuration"

	switch {
	case without(LayerUser):
		l.missing[LayerUser] = leftOut
	case os.Geteuid() != 0:
		l.missing[LayerUser] = "only root can start processes as somebody else; the server runs as an ordinary user, which is good, and functions run as the same one"
		if r.cfg.User != "" {
			return nil, errors.New("runner: functions can be given a user only by a server that runs as root")
		}
	default:
		u, err := chooseUsers(r.cfg.User, r.cfg.Dir)
		if err != nil && r.cfg.User != "" {
			return nil, fmt.Errorf("runner: %w", err)
		}
		if err != nil {
			l.missing[LayerUser] = err.Error()
		}
		l.users = u
	}
	switch {
	case without(LayerSeccomp):
		l.missing[LayerSeccomp] = leftOut
	case !seccompAvailable():
		l.missing[LayerSeccomp] = "the kernel takes no filters, or there is none for this architecture"
	default:
		l.seccomp = true
	}
	abi := landlockABI()
	switch {
	case without(LayerLandlock):
		l.missing[LayerLandlock] = leftOut
	case abi == 0:
		l.missing[LayerLandlock] = "the kernel has no Landlock or has it switched off: it takes Linux 5.13 and landlock in /sys/kernel/security/lsm (boot with lsm=landlock,...)"
	default:
		l.landlock = abi
	}
	if without(LayerBubblewrap) {
		l.missing[LayerBubblewrap] = leftOut
	} else if path := findProgram("bwrap"); path == "" {
		l.missing[LayerBubblewrap] = "bwrap is not installed: apt-get install bubblewrap, dnf install bubblewrap"
	} else {
		l.bubblewrap = path
	}
	return l, r.tryLayers(l)
}

func findProgram(name string) string {
	for _, dir := range programPath() {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && filepath.IsAbs(path) && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// tryLayers takes those layers away that turn out not to work here.
func (r *Runner) tryLayers(l *layers) error {
	if l.bubblewrap != "" {
		err := r.try(l)
		if err == nil {
			l.landlock = 0
			l.missing[LayerLandlock] = "bubblewrap is used in its place"
			return nil
		}
		l.bubblewrap = ""
		l.missing[LayerBubblewrap] = fmt.Sprintf("bwrap does not work here: %v; user namespaces may be switched off (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)", err)
	}
	err := r.try(l)
	if err == nil || l.users == nil {
		return err
	}
	withUsers := *l.users
	l.users = nil
	l.missing[LayerUser] = fmt.Sprintf("processes cannot be started as user %d: %v", withUsers.first, err)
	if r.cfg.User != "" {
		return fmt.Errorf("runner: %s", l.missing[LayerUser])
	}
	return r.try(l)
}

// try runs this program in the layers l, where it does nothing.
func (r *Runner) try(l *layers) error {
	place, err := r.place(l)
	if err != nil {
		return err
	}
	path, err := r.reachable(l, place)
	if err != nil {
		return err
	}
	private, err := os.MkdirTemp(filepath.Join(place, "run"), "try-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(private)
	var mu sync.Mutex
	var said strings.Builder
	s := &spec{Argv: append(append([]string{path}, r.cfg.Self[1:]...), supervisorCommand, "nothing")}
	if l.bubblewrap != "" {
		s.Argv[0] = ourProgram
	}
	err = r.confine(l, s, 0, confinement{program: path, private: private, storage: 1, memory: 1024, shut: r.shut()})
	if err != nil {
		return err
	}
	c, err := startChild(r.cfg.Self, s, func(b []byte) {
		mu.Lock()
		defer mu.Unlock()
		said.Write(b[:min(len(b), 500)])
	})
	if err != nil {
		return err
	}
	<-c.exited
	if c.end.Exit != nil && *c.end.Exit == 0 {
		return nil
	}
	return fmt.Errorf("%s %s", c.end.reason(), strings.TrimSpace(said.String()))
}

// systemRead is what programs need of the system: what is installed, and how names,
// certificates, time and libraries are found. /etc as a whole would show the
// configuration of other services, perhaps our own.
var systemRead = []string{
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
	"/etc/alternatives", "/etc/ca-certificates", "/etc/crypto-policies", "/etc/gai.conf", "/etc/group",
	"/etc/host.conf", "/etc/hosts", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime",
	"/etc/mime.types", "/etc/nsswitch.conf", "/etc/os-release", "/etc/passwd", "/etc/pki/ca-trust", "/etc/pki/tls/certs",
	"/etc/pki/tls/openssl.cnf", "/etc/protocols", "/etc/python3", "/etc/python3.11", "/etc/python3.12", "/etc/python3.13",
	"/etc/resolv.conf", "/etc/services", "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/ssl/cert.pem", "/etc/timezone",
}

var systemUse = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

// confinement is what is particular to one function.
type confinement struct {
	task, opt string   // where the function's code is; may be empty
	runtime   string   // our clients
	private   string   // its own directory
	roots     []string // further files and directories that it reads
	program   string   // this program, if the function is built in
	shut      []string // directories that it must not see, though they be in what it reads
	memory    int      // MiB
	storage   int      // MiB
}

// Limits of open files, AWS's ("Lambda quotas"), and of processes and threads. AWS has 1024 of
// these; here each costs the server something whenever memory is measured.
const (
	maxOpen      = 1024
	maxProcesses = 256
)

// confine fills in what of s the layers ask for.
func (r *Runner) confine(l *layers, s *spec, slot int, c confinement) error {
	uid := os.Geteuid()
	s.Private = c.private
	s.Limits = limits{
		// Behind the watch over resident memory, which looks a few times a second.
		Data:     uint64(c.memory)<<21 + 512<<20,
		FileSize: uint64(c.storage) << 20,
		Files:    maxOpen,
	}
	if l.users != nil {
		uid = l.users.uid(slot)
		s.Drop, s.UID, s.GID = true, uid, uid
		if l.users.fixed {
			s.GID = l.users.shared
		}
		s.Groups = []int{l.users.shared}
	}
	s.Limits.Processes = maxProcesses
	if l.users == nil || l.users.fixed {
		// The limit is the user's, who has other processes.
		s.Limits.Processes += uint64(threadsOf(uid))
	}
	if l.seccomp {
		s.Seccomp = &filter{
			// Abstract sockets are reached from any file system, and others may let in who is
			// the server's own user.
			Unix: l.users != nil && l.bubblewrap == "",
			Own:  l.users == nil && l.bubblewrap == "",
		}
	}
	temp := filepath.Join(c.private, "tmp")
	if err := os.Mkdir(temp, 0o700); err != nil {
		return err
	}
	if s.Drop {
		for _, dir := range []string{c.private, temp} {
			if err := os.Chown(dir, s.UID, s.GID); err != nil {
				return err
			}
		}
	}
	switch {
	case l.bubblewrap != "":
		s.Bubblewrap = &bubblewrap{Path: l.bubblewrap, Args: wrap(s, c)}
	case l.landlock > 0:
		s.Landlock = &ruleset{
			Read:  slices.DeleteFunc(slices.Concat(systemRead, []string{"/proc", "/sys/devices/system/cpu", "/sys/fs/cgroup", c.task, c.opt, c.runtime, c.program}, c.roots), func(p string) bool { return p == "" }),
			Use:   systemUse,
			Write: []string{temp},
		}
	}
	return nil
}

// Where things are within bubblewrap: AWS's paths.
const (
	taskRoot   = "/var/task"
	optRoot    = "/opt"
	runtimeDir = "/var/runtime"
	ourProgram = "/coffer"
)

// wrap makes the arguments of bwrap: a root of its own with the system's programs and
// nothing else, and namespaces for everything but the network.
func wrap(s *spec, c confinement) []string {
	args := []string{
		"--die-with-parent", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
		"--cap-drop", "ALL", // which root keeps otherwise, within its namespaces
		"--hostname", "function", "--clearenv", "--proc", "/proc", "--dev", "/dev",
	}
	for _, v := range s.Env {
		name, value, _ := strings.Cut(v, "=")
		args = append(args, "--setenv", name, value)
	}
	bind := func(path string) {
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			return // not there
		}
		target, err := os.Readlink(path)
		if err == nil && strings.Count(path, "/") == 1 {
			args = append(args, "--symlink", target, path) // /bin -> usr/bin
			return
		}
		args = append(args, "--ro-bind", real, path)
	}
	for _, path := range systemRead {
		bind(path)
	}
	// A data directory below /usr/local, say.
	var hidden []string
	for _, dir := range c.shut {
		if slices.ContainsFunc(slices.Concat(systemRead, c.roots), func(p string) bool { return below(dir, p) }) {
			args = append(args, "--size", "4096", "--tmpfs", dir)
			hidden = append(hidden, "--remount-ro", dir)
		}
	}
	// Before what may lie in it: a program just built, an interpreter.
	args = append(args, "--size", fmt.Sprint(c.storage<<20), "--tmpfs", "/tmp")
	for _, m := range [][2]string{{c.task, taskRoot}, {c.opt, optRoot}, {c.runtime, runtimeDir}} {
		if m[0] != "" {
			args = append(args, "--ro-bind", m[0], m[1])
		} else {
			args = append(args, "--dir", m[1])
		}
	}
	for _, root := range c.roots {
		if !below(root, "/usr") {
			args = append(args, "--ro-bind-try", root, root)
		}
	}
	if c.program != "" {
		args = append(args, "--ro-bind", c.program, ourProgram)
	}
	// What bwrap makes these of is memory, and would have no bound.
	args = append(append(args, "--remount-ro", "/dev"), append(hidden, "--remount-ro", "/")...)
	dir := s.Dir
	if dir == "" {
		dir = "/"
	}
	return append(args, "--chdir", dir)
}

// describe lists the layers for Report.
func (l *layers) describe() []Layer {
	userNote := ""
	if l.users != nil {
		userNote = fmt.Sprintf("each process has one of its own, from uid %d", l.users.first)
		if l.users.fixed {
			userNote = fmt.Sprintf("uid %d for all functions; without --functions-user each process would have one of its own", l.users.first)
		}
	}
	landlockNote := fmt.Sprintf("version %d", l.landlock)
	if l.landlock > 0 && l.landlock < landlockScopes && l.users == nil {
		landlockNote += "; it does not keep functions from sending signals to the server: that takes Linux 6.12, bubblewrap, or a server run as root"
	}
	return []Layer{
		{"supervisor", true, "ends all processes of a function with it or with the server; session and descriptors of its own", ""},
		{"limits", true, "memory, files, processes, size of files, no core dumps", ""},
		{LayerUser, l.users != nil, "functions run as a user that owns nothing", l.note(LayerUser, l.users != nil, userNote)},
		{LayerBubblewrap, l.bubblewrap != "", "namespaces: own files, processes and /tmp; AWS's paths /var/task and /opt", l.note(LayerBubblewrap, l.bubblewrap != "", l.bubblewrap)},
		{LayerLandlock, l.landlock > 0, "the kernel refuses files that are not the function's", l.note(LayerLandlock, l.landlock > 0, landlockNote)},
		{LayerSeccomp, l.seccomp, "the kernel refuses system calls that functions do not need", l.note(LayerSeccomp, l.seccomp, "")},
	}
}
