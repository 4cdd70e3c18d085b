// Reports how golang.org/x/crypto/ssh sees one SSH server. Prints the findings as JSON.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

type pipeConn struct {
	io.Reader
	io.WriteCloser
}

func (pipeConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (pipeConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (pipeConn) SetDeadline(time.Time) error      { return nil }
func (pipeConn) SetReadDeadline(time.Time) error  { return nil }
func (pipeConn) SetWriteDeadline(time.Time) error { return nil }

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Arguments: user, key file, then the command whose streams are the connection.
func dial(rekey uint64) *ssh.Client {
	pem, err := os.ReadFile(os.Args[2])
	check(err)
	signer, err := ssh.ParsePrivateKey(pem)
	check(err)
	command := exec.Command(os.Args[3], os.Args[4:]...)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	check(err)
	out, err := command.StdoutPipe()
	check(err)
	check(command.Start())
	config := &ssh.ClientConfig{
		Config:          ssh.Config{RekeyThreshold: rekey},
		User:            os.Args[1],
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	}
	conn, channels, requests, err := ssh.NewClientConn(pipeConn{out, in}, "server", config)
	check(err)
	return ssh.NewClient(conn, channels, requests)
}

func ending(err error) string {
	switch e := err.(type) {
	case nil:
		return "status 0"
	case *ssh.ExitError:
		if e.Signal() != "" {
			return "signal " + e.Signal()
		}
		return fmt.Sprintf("status %d", e.ExitStatus())
	default:
		return fmt.Sprintf("%T", err)
	}
}

func run(client *ssh.Client, command, input string, prepare func(*ssh.Session)) map[string]string {
	session, err := client.NewSession()
	check(err)
	defer session.Close()
	var out, errors bytes.Buffer
	session.Stdin, session.Stdout, session.Stderr = strings.NewReader(input), &out, &errors
	if prepare != nil {
		prepare(session)
	}
	err = session.Run(command)
	return map[string]string{"end": ending(err), "stdout": out.String(), "stderr": errors.String()}
}

func digest(client *ssh.Client, bytesIn int) map[string]string {
	session, err := client.NewSession()
	check(err)
	defer session.Close()
	sum := sha256.New()
	session.Stdin = io.LimitReader(zeros{}, int64(bytesIn))
	session.Stdout = sum
	err = session.Run("cat")
	return map[string]string{"end": ending(err), "sha256": hex.EncodeToString(sum.Sum(nil))}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func main() {
	client := dial(1 << 20)
	saw := map[string]any{}
	saw["terminated"] = run(client, "kill -TERM $$; sleep 5", "", nil)
	saw["other signal"] = run(client, "kill -VTALRM $$; sleep 5", "", nil)
	saw["script on stdin"] = run(client, "bash /dev/stdin x", `echo "$1"; echo err > /dev/stderr`, nil)
	saw["long command"] = run(client, "echo "+strings.Repeat("x", 100_000)+" | wc -c", "", nil)
	saw["descriptors"] = run(client, "ls /proc/self/fd | head -n 3", "", nil)
	saw["modes"] = run(client, "stty -a", "", func(session *ssh.Session) {
		check(session.RequestPty("xterm", 30, 100, ssh.TerminalModes{
			ssh.ECHO: 0, ssh.VERASE: 8, ssh.VINTR: 255, ssh.VSUSP: 24, ssh.ONLCR: 0, ssh.OCRNL: 1, ssh.IXON: 0, ssh.IXANY: 1, ssh.ISTRIP: 0,
			ssh.ICRNL: 1, ssh.IUTF8: 1, ssh.ECHOK: 0, ssh.ECHOCTL: 0, ssh.NOFLSH: 1, ssh.TOSTOP: 1, ssh.PARENB: 0, ssh.CS8: 1,
			ssh.TTY_OP_ISPEED: 9600, ssh.TTY_OP_OSPEED: 9600,
		}))
	})
	saw["no modes"] = run(client, "stty -a", "", func(session *ssh.Session) {
		check(session.RequestPty("xterm", 30, 100, ssh.TerminalModes{}))
	})
	session, err := client.NewSession()
	check(err)
	saw["unknown subsystem"] = fmt.Sprint(session.RequestSubsystem("nosuch") != nil)
	session.Close()
	ok, _, err := client.SendRequest("nosuch@example.com", true, []byte{1, 2, 3})
	saw["unknown global request"] = fmt.Sprint(ok, err)
	_, _, err = client.OpenChannel("nosuch@example.com", []byte{0xff})
	saw["unknown channel refused"] = fmt.Sprint(err != nil)
	_, err = client.Dial("unix", "/no/such/socket")
	saw["bad socket path"] = fmt.Sprint(err != nil)
	// Without GatewayPorts every address means loopback.
	listener, err := client.Listen("tcp", "192.0.2.1:0")
	check(err)
	_, err = client.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", listener.Addr().(*net.TCPAddr).Port))
	saw["a forward that fails"] = fmt.Sprint(err != nil)
	saw["bulk"] = digest(client, 64<<20)
	saw["alive"] = run(client, "echo alive", "", nil)
	check(json.NewEncoder(os.Stdout).Encode(saw))
	client.Close()
}
