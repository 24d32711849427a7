package backends

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"go.uber.org/goleak"
)

const (
	// startTimeout is how long a node may take until it answers; it is an order
	// of magnitude more than it takes on an idle machine.
	startTimeout = 5 * time.Minute
	// pollInterval is the time between two questions whether a node answers.
	pollInterval = 100 * time.Millisecond
	// tailBytes is how much of a node's log a failure shows.
	tailBytes = 4 << 10
)

// process is a running JVM. It dies with this process.
type process struct {
	pid     int
	logPath string
	// exited is closed once the process has ended.
	exited chan struct{}
}

// start runs java with the arguments and appends its output to the log.
func start(logPath string, args []string) (*process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command("java", args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &process{logPath: logPath, exited: make(chan struct{})}
	started := make(chan error)
	go p.own(cmd, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start java: %w", err)
	}
	return p, nil
}

// own starts the command and waits for its end. The kernel kills a child when
// the thread that started it ends, so that this goroutine keeps its thread.
func (p *process) own(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.exited)
	err := cmd.Start()
	if err == nil {
		p.pid = cmd.Process.Pid
	}
	started <- err
	if err == nil {
		_ = cmd.Wait() // how it ended is in its log
	}
}

// IgnoreNodes is for tests that check for leaked goroutines: the nodes of Kafka
// and Cassandra keep one goroutine each until the process ends.
func IgnoreNodes() goleak.Option {
	return goleak.IgnoreAnyFunction("github.com/chatcluster/chatcluster/test/backends.(*process).own")
}

// signal does nothing if the process has ended: its pid may be another's.
func (p *process) signal(s syscall.Signal) error {
	select {
	case <-p.exited:
		return nil
	default:
		return syscall.Kill(p.pid, s)
	}
}

// kill ends the process at once, and waits for that.
func (p *process) kill() error {
	err := p.signal(syscall.SIGKILL)
	<-p.exited
	return err
}

// await polls until ready returns nil. The error has the tail of the log.
func (p *process) await(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("it ended before it answered; its log, %s, ends with:\n%s", p.logPath, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w; its log, %s, ends with:\n%s", err, p.logPath, p.tail())
		case <-tick.C:
		}
	}
}

func (p *process) tail() string {
	text, err := os.ReadFile(p.logPath)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(text[max(0, len(text)-tailBytes):]))
}

func hostPort(address string, port int) string {
	return net.JoinHostPort(address, strconv.Itoa(port))
}
