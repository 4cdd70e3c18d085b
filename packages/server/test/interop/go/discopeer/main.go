// A peer that speaks disco with the code of tailscale.com: opens and answers what arrives by UDP and by relay, prints every
// message, and sends pings and CallMeMaybe on command from its standard input.
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"
	"strings"

	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/disco"
	"tailscale.com/net/netmon"
	"tailscale.com/types/key"

	"go4.org/mem"
)

type event struct {
	Kind   string   `json:"kind"`
	Via    string   `json:"via,omitempty"`
	From   string   `json:"from,omitempty"`
	Length int      `json:"length,omitempty"`
	Src    string   `json:"src,omitempty"`
	Node   string   `json:"node,omitempty"`
	Disco  string   `json:"disco,omitempty"`
	Udp    string   `json:"udp,omitempty"`
	Listed []string `json:"listed,omitempty"`
}

func say(e event) {
	text, err := json.Marshal(e)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))
}

func main() {
	url := flag.String("url", "", "relay")
	peerNodeHex := flag.String("peer-node", "", "node key of the other side, hexadecimal")
	peerDiscoHex := flag.String("peer-disco", "", "disco key of the other side, hexadecimal")
	flag.Parse()
	peerNode := key.NodePublicFromRaw32(mem.B(decode(*peerNodeHex)))
	peerDisco := key.DiscoPublicFromRaw32(mem.B(decode(*peerDiscoHex)))

	node, discoKey := key.NewNode(), key.NewDisco()
	shared := discoKey.Shared(peerDisco)
	client, err := derphttp.NewClient(node, *url, log.Printf, netmon.NewStatic())
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Connect(context.Background()); err != nil {
		log.Fatal(err)
	}
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		log.Fatal(err)
	}
	own := socket.LocalAddr().(*net.UDPAddr).AddrPort()
	rawNode, rawDisco := node.Public().Raw32(), discoKey.Public().Raw32()

	seal := func(m disco.Message) []byte {
		packet := append([]byte(disco.Magic), rawDisco[:]...)
		return append(packet, shared.Seal(m.AppendMarshal(nil))...)
	}
	handle := func(packet []byte, via string, from netip.AddrPort, reply func([]byte)) {
		if !disco.LooksLikeDiscoWrapper(packet) {
			say(event{Kind: "other", Via: via, Length: len(packet)})
			return
		}
		source, ok := disco.Source(packet)
		if !ok || string(source) != string(peerDisco.AppendTo(nil)) {
			say(event{Kind: "stranger", Via: via})
			return
		}
		plain, ok := shared.Open(packet[len(disco.Magic)+key.DiscoPublicRawLen:])
		if !ok {
			say(event{Kind: "sealed", Via: via})
			return
		}
		message, err := disco.Parse(plain)
		if err != nil {
			say(event{Kind: "unparsed", Via: via})
			return
		}
		switch m := message.(type) {
		case *disco.Ping:
			raw := m.NodeKey.Raw32()
			say(event{Kind: "ping", Via: via, From: from.String(), Length: len(packet), Node: hex.EncodeToString(raw[:])})
			reply(seal(&disco.Pong{TxID: m.TxID, Src: from}))
		case *disco.Pong:
			say(event{Kind: "pong", Via: via, Length: len(packet), Src: m.Src.String()})
		case *disco.CallMeMaybe:
			listed := []string{}
			for _, at := range m.MyNumber {
				listed = append(listed, at.String())
			}
			say(event{Kind: "call-me-maybe", Via: via, Listed: listed})
		}
	}

	go func() {
		buffer := make([]byte, 65536)
		for {
			n, from, err := socket.ReadFromUDPAddrPort(buffer)
			if err != nil {
				os.Exit(0)
			}
			handle(buffer[:n], "udp", from, func(packet []byte) { socket.WriteToUDPAddrPort(packet, from) })
		}
	}()
	go func() {
		for {
			message, err := client.Recv()
			if err != nil {
				os.Exit(0)
			}
			if packet, ok := message.(derp.ReceivedPacket); ok {
				region := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 3, 3, 40}), 1)
				handle(packet.Data, "relay", region, func(packet []byte) { client.Send(peerNode, packet) })
			}
		}
	}()

	say(event{Kind: "ready", Node: hex.EncodeToString(rawNode[:]), Disco: hex.EncodeToString(rawDisco[:]), Udp: own.String()})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		switch words[0] {
		case "call-me-maybe":
			client.Send(peerNode, seal(&disco.CallMeMaybe{MyNumber: []netip.AddrPort{own}}))
		case "ping":
			ping := disco.Ping{NodeKey: node.Public()}
			copy(ping.TxID[:], "abcdefghijkl")
			to := netip.MustParseAddrPort(words[1])
			socket.WriteToUDPAddrPort(seal(&ping), to)
		}
	}
}

func decode(text string) []byte {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 32 {
		log.Fatalf("not a key: %q", text)
	}
	return raw
}
