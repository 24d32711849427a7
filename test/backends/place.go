package backends

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// dirPrefix begins the names of data directories.
const dirPrefix = "chatcluster-backends-"

// place is a data directory whose lock says that its owner lives.
type place struct {
	dir  string
	lock *os.File
}

// newPlace makes a data directory, and removes those whose owners are dead.
func newPlace() (*place, error) {
	former, err := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*"))
	if err != nil {
		return nil, err
	}
	for _, dir := range former {
		removeAbandoned(dir)
	}
	// The lock's file is there before the directory has its name, or another
	// process could take it for abandoned.
	hidden, err := os.MkdirTemp("", "."+dirPrefix)
	if err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(hidden, "lock"), syscall.LOCK_EX)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(os.TempDir(), filepath.Base(hidden)[1:])
	if err := os.Rename(hidden, dir); err != nil {
		lock.Close()
		return nil, err
	}
	return &place{dir: dir, lock: lock}, nil
}

// removeAbandoned is best effort: what it leaves, the next run finds again.
func removeAbandoned(dir string) {
	lock, err := lockFile(filepath.Join(dir, "lock"), syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil {
		return
	}
	defer lock.Close()
	_ = os.RemoveAll(dir)
}

// remove removes the directory with all that is in it.
func (p *place) remove() error {
	defer p.lock.Close()
	return os.RemoveAll(p.dir)
}

// loopback is where brokers listen, and the first Cassandra node.
const loopback = "127.0.0.1"

// Ports are chosen below the range from which kernels choose those of outgoing
// connections: a node that is restarted finds its ports free.
const firstPort, lastPort = 10_000, 32_000

// freePort is a port that nobody listens on at any of the addresses.
func freePort(addresses ...string) (int, error) {
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if isFree(port, addresses) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port at %v between %d and %d", addresses, firstPort, lastPort)
}

func isFree(port int, addresses []string) bool {
	for _, address := range addresses {
		l, err := net.Listen("tcp", hostPort(address, port))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}
