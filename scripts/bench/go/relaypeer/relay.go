package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"go4.org/mem"
	"golang.zx2c4.com/wireguard/conn"
	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/net/netmon"
	"tailscale.com/types/key"
)

// relayBind carries WireGuard's messages over one relay connection: one message per frame, as tailscale's magicsock
// does.
type relayBind struct {
	client *derphttp.Client
	closed chan struct{}
}

// endpoint is the key under which the relay knows a peer.
type endpoint key.NodePublic

func connectRelay(private key.NodePrivate, url string) (*relayBind, error) {
	client, err := derphttp.NewClient(private, url, func(string, ...any) {}, netmon.NewStatic())
	if err != nil {
		return nil, err
	}
	return &relayBind{client: client}, client.Connect(context.Background())
}

// Open is called again whenever the device goes up; the relay connection stays.
func (b *relayBind) Open(uint16) ([]conn.ReceiveFunc, uint16, error) {
	b.closed = make(chan struct{})
	return []conn.ReceiveFunc{b.receive}, 1, nil
}

func (b *relayBind) receive(packets [][]byte, sizes []int, from []conn.Endpoint) (int, error) {
	for {
		message, err := b.client.Recv()
		select {
		case <-b.closed:
			return 0, net.ErrClosed
		default:
		}
		if err != nil {
			return 0, err
		}
		if packet, ok := message.(derp.ReceivedPacket); ok {
			sizes[0] = copy(packets[0], packet.Data)
			from[0] = endpoint(packet.Source)
			return 1, nil
		}
	}
}

func (b *relayBind) Send(messages [][]byte, to conn.Endpoint) error {
	for _, message := range messages {
		if err := b.client.Send(key.NodePublic(to.(endpoint)), message); err != nil {
			return err
		}
	}
	return nil
}

func (b *relayBind) Close() error {
	if b.closed != nil {
		close(b.closed)
		b.closed = nil
	}
	return nil
}

func (b *relayBind) ParseEndpoint(hex string) (conn.Endpoint, error) {
	public, err := key.ParseNodePublicUntyped(mem.S(hex))
	return endpoint(public), err
}

func (b *relayBind) SetMark(uint32) error { return nil }
func (b *relayBind) BatchSize() int       { return 1 }

func (e endpoint) ClearSrc()           {}
func (e endpoint) SrcToString() string { return "" }
func (e endpoint) DstToString() string { return key.NodePublic(e).String() }
func (e endpoint) DstToBytes() []byte  { raw := key.NodePublic(e).Raw32(); return raw[:] }
func (e endpoint) DstIP() netip.Addr   { return netip.IPv6Unspecified() }
func (e endpoint) SrcIP() netip.Addr   { return netip.IPv6Unspecified() }

// hexOf is the key in the format of WireGuard's configuration.
func hexOf(private key.NodePrivate) string {
	text, err := private.MarshalText()
	if err != nil {
		panic(fmt.Sprintf("a key without text: %v", err))
	}
	_, digits, _ := strings.Cut(string(text), ":")
	return digits
}
