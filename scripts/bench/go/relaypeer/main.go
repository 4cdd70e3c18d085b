// Command relaypeer is one end of a bulk stream, as stream-peer.ts is, made of what Go has for it: wireguard-go, gVisor's TCP/IP
// in its netstack, and below them the relay client of tailscale.com. Each JSON line on standard input is a request, which one on
// standard output answers; it ends when its input does.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/netstack"
	"tailscale.com/types/key"
)

const (
	streamPort = 7000
	mtu        = 1280
)

// request is one line of standard input. Do says which of the other fields matter.
type request struct {
	Do string `json:"do"`
	// openEngine and peer
	Address   netip.Addr `json:"address"`
	RelayPort int        `json:"relayPort"`
	PublicKey string     `json:"publicKey"`
	// connectTunnel
	To netip.Addr `json:"to"`
	// begin
	Role    string  `json:"role"`
	Seconds float64 `json:"seconds"`
}

type peer struct {
	net      *netstack.Net
	device   *device.Device
	incoming chan net.Conn
	stream   net.Conn
	result   chan outcome
}

func main() {
	p := &peer{incoming: make(chan net.Conn, 1), result: make(chan outcome, 1)}
	lines := bufio.NewScanner(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var r request
		err := json.Unmarshal(lines.Bytes(), &r)
		var answer any
		if err == nil {
			answer, err = p.handle(r)
		}
		if err != nil {
			answer = map[string]string{"error": err.Error()}
		}
		if err := answers.Encode(answer); err != nil {
			log.Fatal(err)
		}
	}
}

func (p *peer) handle(r request) (any, error) {
	switch r.Do {
	case "openEngine":
		return p.open(r)
	case "peer":
		return struct{}{}, p.device.IpcSet(fmt.Sprintf(
			"public_key=%s\nendpoint=%[1]s\nallowed_ip=%s/128\n", r.PublicKey, r.Address))
	case "connectTunnel":
		stream, err := p.net.DialTCPAddrPort(netip.AddrPortFrom(r.To, streamPort))
		p.stream = stream
		return struct{}{}, err
	case "accepted":
		p.stream = <-p.incoming
		return struct{}{}, nil
	case "begin":
		go func() { p.result <- pump(p.stream, r.Role, r.Seconds) }()
		return struct{}{}, nil
	case "finish":
		o := <-p.result
		return o, o.err
	}
	return nil, fmt.Errorf("unknown request %q", r.Do)
}

func (p *peer) open(r request) (any, error) {
	private := key.NewNode()
	bind, err := connectRelay(private, fmt.Sprintf("http://127.0.0.1:%d/derp", r.RelayPort))
	if err != nil {
		return nil, err
	}
	tun, stack, err := netstack.CreateNetTUN([]netip.Addr{r.Address}, nil, mtu)
	if err != nil {
		return nil, err
	}
	p.net = stack
	p.device = device.NewDevice(tun, bind, device.NewLogger(device.LogLevelError, ""))
	if err := p.device.IpcSet("private_key=" + hexOf(private)); err != nil {
		return nil, err
	}
	if err := p.device.Up(); err != nil {
		return nil, err
	}
	listener, err := stack.ListenTCPAddrPort(netip.AddrPortFrom(r.Address, streamPort))
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			stream, err := listener.Accept()
			if err != nil {
				log.Fatal(err)
			}
			p.incoming <- stream
		}
	}()
	public := private.Public().Raw32()
	return map[string]string{"publicKey": fmt.Sprintf("%x", public)}, nil
}
