// Command magicpeer is a stock Tailscale peer without a control plane: magicsock of tailscale.com, Tailscale's wireguard-go on
// top of it, and an in-memory network interface that answers echoes. What a coordinator would send arrives as JSON lines on
// standard input; events are written as JSON lines to standard output.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/tailscale/wireguard-go/tun/tuntest"
	"go4.org/mem"
	"tailscale.com/envknob"
	"tailscale.com/health"
	"tailscale.com/ipn/ipnstate"
	"tailscale.com/net/netmon"
	"tailscale.com/net/netns"
	"tailscale.com/net/tstun"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/util/eventbus"
	"tailscale.com/util/set"
	"tailscale.com/util/usermetric"
	"tailscale.com/wgengine/filter"
	"tailscale.com/wgengine/magicsock"
	"tailscale.com/wgengine/wgcfg"
	"tailscale.com/wgengine/wglog"
)

// command is one line of standard input. Cmd says which of the other fields matter.
type command struct {
	Cmd string `json:"cmd"`
	// derp-map
	Map *tailcfg.DERPMap `json:"map"`
	// peer
	Node      string           `json:"node"`
	Disco     string           `json:"disco"`
	Addr      string           `json:"addr"`
	HomeDERP  int              `json:"homeDerp"`
	Endpoints []netip.AddrPort `json:"endpoints"`
	// icmp and send
	To     netip.AddrPort `json:"to"`
	Count  uint32         `json:"count"`
	Window uint32         `json:"window"`
}

// report is one line of standard output.
type report struct {
	Kind      string   `json:"kind"`
	Node      string   `json:"node,omitempty"`
	Disco     string   `json:"disco,omitempty"`
	Port      uint16   `json:"port,omitempty"`
	Endpoints []string `json:"endpoints,omitempty"`
	// For a ping: the address that answered, or the region of the relay.
	Endpoint string `json:"endpoint,omitempty"`
	Region   int    `json:"region,omitempty"`
	Error    string `json:"error,omitempty"`
	// For a path: the address in use; empty while the path is relayed.
	Address string `json:"address"`
	Relay   string `json:"relay,omitempty"`
	// For a stream: what was sent, and the numbers answered, in order of arrival.
	Sent    uint32   `json:"sent,omitempty"`
	Answers []uint32 `json:"answers,omitempty"`
}

var outMu sync.Mutex

func say(r report) {
	outMu.Lock()
	defer outMu.Unlock()
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		log.Fatal(err)
	}
}

func main() {
	own := flag.String("addr", "", "own IPv6 address inside the tunnel")
	verbose := flag.Bool("v", false, "log to standard error")
	flag.Parse()
	// The relay of the test speaks plain HTTP on loopback, and STUN there is the only source of endpoints.
	for knob, value := range map[string]string{"TS_DEBUG_USE_DERP_HTTP": "true", "TS_DEBUG_OMIT_LOCAL_ADDRS": "true", "IN_TS_TEST": "true"} {
		envknob.Setenv(knob, value)
	}
	netns.SetEnabled(false)
	logf := func(string, ...any) {}
	if *verbose {
		envknob.Setenv("TS_DEBUG_DISCO", "true")
		logf = log.Printf
	}

	addr := netip.MustParseAddr(*own)
	bus := eventbus.New()
	monitor, err := netmon.New(bus, logf)
	check(err)
	tracker := health.NewTracker(bus)
	registry := new(usermetric.Registry)
	conn, err := magicsock.NewConn(magicsock.Options{
		EventBus:          bus,
		Logf:              logf,
		NetMon:            monitor,
		HealthTracker:     tracker,
		Metrics:           registry,
		DisablePortMapper: true,
		EndpointsFunc: func(found []tailcfg.Endpoint) {
			r := report{Kind: "endpoints"}
			for _, endpoint := range found {
				r.Endpoints = append(r.Endpoints, endpoint.Addr.String())
			}
			say(r)
		},
	})
	check(err)
	views := eventbus.Publish[magicsock.NodeViewsUpdate](bus.Client("magicpeer"))
	private := key.NewNode()
	check(conn.SetPrivateKey(private))
	channel := tuntest.NewChannelTUN()
	wrapped := tstun.Wrap(logf, channel.TUN(), registry)
	wrapped.SetFilter(filter.NewAllowAllForTest(logf))
	wrapped.Start()
	wgLogger := wglog.NewLogger(logf)
	device := wgcfg.NewDevice(wrapped, conn.Bind(), wgLogger.DeviceLogger)
	check(device.Up())
	host := newHost(addr, channel)
	go host.run()
	say(report{Kind: "ready", Node: hexOf(private.Public().String()), Disco: hexOf(conn.DiscoPublicKey().String()), Port: conn.LocalPort()})

	var peer tailcfg.NodeView
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			log.Fatalf("malformed command: %v", err)
		}
		switch c.Cmd {
		case "derp-map":
			conn.SetDERPMap(c.Map)
			go conn.ReSTUN("derp-map")
		case "peer":
			peer = nodeOf(c).View()
			views.Publish(magicsock.NodeViewsUpdate{
				SelfNode: (&tailcfg.Node{ID: 1, Name: "self", Key: private.Public(), Addresses: prefixes(addr)}).View(),
				Peers:    []tailcfg.NodeView{peer},
			})
			conn.Synchronize()
			conn.UpdatePeers(set.Of(peer.Key()))
			config := &wgcfg.Config{
				Name:       "magicpeer",
				PrivateKey: private,
				Addresses:  prefixes(addr),
				Peers: []wgcfg.Peer{{
					PublicKey:  peer.Key(),
					DiscoKey:   peer.DiscoKey(),
					AllowedIPs: peer.AllowedIPs().AsSlice(),
				}},
			}
			wrapped.SetWGConfig(config)
			wgLogger.SetPeers(config.Peers)
			check(wgcfg.ReconfigDevice(device, config, logf))
			say(report{Kind: "peer"})
		case "ping":
			conn.Ping(peer, new(ipnstate.PingResult), 0, func(r *ipnstate.PingResult) {
				say(report{Kind: "pong", Endpoint: r.Endpoint, Region: r.DERPRegionID, Error: r.Err})
			})
		case "path":
			var builder ipnstate.StatusBuilder
			builder.WantPeers = true
			conn.UpdateStatus(&builder)
			status := builder.Status().Peer[peer.Key()]
			if status == nil {
				log.Fatal("no status of the peer")
			}
			say(report{Kind: "path", Address: status.CurAddr, Relay: status.Relay})
		case "icmp":
			host.ping(c.To.Addr())
		case "send":
			go func() {
				answers := host.stream(c.To, c.Count, c.Window, 20*time.Second)
				say(report{Kind: "stream", Sent: c.Count, Answers: answers})
			}()
		case "quit":
			os.Exit(0)
		default:
			log.Fatalf("unknown command %q", c.Cmd)
		}
	}
}

func nodeOf(c command) *tailcfg.Node {
	node, err := key.ParseNodePublicUntyped(mem.S(c.Node))
	check(err)
	var disco key.DiscoPublic
	check(disco.UnmarshalText([]byte("discokey:" + c.Disco)))
	addresses := prefixes(netip.MustParseAddr(c.Addr))
	return &tailcfg.Node{
		ID:         2,
		Name:       "peer",
		Key:        node,
		DiscoKey:   disco,
		Addresses:  addresses,
		AllowedIPs: addresses,
		HomeDERP:   c.HomeDERP,
		Endpoints:  c.Endpoints,
	}
}

func prefixes(addr netip.Addr) []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(addr, addr.BitLen())}
}

// hexOf removes the prefix of a key's text.
func hexOf(text string) string {
	_, digits, _ := strings.Cut(text, ":")
	return digits
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
