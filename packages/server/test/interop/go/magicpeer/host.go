package main

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/tailscale/wireguard-go/tun/tuntest"
)

const (
	ipv6Bytes  = 40
	udpBytes   = 8
	protoUDP   = 17
	protoICMP6 = 58
	// echoRequest and echoReply are ICMPv6 types.
	echoRequest = 128
	echoReply   = 129
	// echoPort answers every datagram with its content.
	echoPort = 7
	// streamPort is the port from which numbered datagrams are sent and at which their answers arrive.
	streamPort = 9000
)

// host is the system behind the tunnel: IPv6 with an ICMP echo, a UDP echo, and a sender of numbered datagrams.
type host struct {
	addr    netip.Addr
	tun     *tuntest.ChannelTUN
	answers chan uint32
}

func newHost(addr netip.Addr, tun *tuntest.ChannelTUN) *host {
	return &host{addr: addr, tun: tun, answers: make(chan uint32, 4096)}
}

func (h *host) run() {
	for packet := range h.tun.Inbound {
		if len(packet) < ipv6Bytes+udpBytes || packet[0]>>4 != 6 {
			continue
		}
		from := netip.AddrFrom16([16]byte(packet[8:24]))
		payload := packet[ipv6Bytes:]
		switch proto := packet[6]; {
		case proto == protoICMP6 && payload[0] == echoRequest:
			payload[0] = echoReply
			h.send(from, protoICMP6, payload)
		case proto == protoICMP6 && payload[0] == echoReply:
			say(report{Kind: "icmp-reply"})
		case proto == protoUDP && binary.BigEndian.Uint16(payload[2:]) == echoPort:
			var ports [4]byte
			copy(ports[:2], payload[2:4])
			copy(ports[2:], payload[:2])
			copy(payload, ports[:])
			h.send(from, protoUDP, payload)
		case proto == protoUDP && binary.BigEndian.Uint16(payload[2:]) == streamPort && len(payload) >= udpBytes+4:
			h.answers <- binary.BigEndian.Uint32(payload[udpBytes:])
		}
	}
}

// ping sends one echo request; the reply is reported by run.
func (h *host) ping(to netip.Addr) {
	h.send(to, protoICMP6, []byte{echoRequest, 0, 0, 0, 0, 1, 0, 1, 'e', 'c', 'h', 'o'})
}

// stream sends count numbered datagrams of different lengths, at most window of them unanswered, and returns the numbers
// answered in order of arrival. It ends early when limit has passed.
func (h *host) stream(to netip.AddrPort, count, window uint32, limit time.Duration) (answers []uint32) {
	end := time.After(limit)
	for sent := uint32(0); len(answers) < int(count); {
		for ; sent < count && sent-uint32(len(answers)) < window; sent++ {
			datagram := make([]byte, udpBytes+4+int(sent*37%1000))
			binary.BigEndian.PutUint16(datagram, streamPort)
			binary.BigEndian.PutUint16(datagram[2:], to.Port())
			binary.BigEndian.PutUint16(datagram[4:], uint16(len(datagram)))
			binary.BigEndian.PutUint32(datagram[udpBytes:], sent)
			h.send(to.Addr(), protoUDP, datagram)
		}
		select {
		case number := <-h.answers:
			answers = append(answers, number)
		case <-end:
			return answers
		}
	}
	return answers
}

// send completes a payload with its checksum and an IPv6 header, and hands it to the tunnel.
func (h *host) send(to netip.Addr, proto byte, payload []byte) {
	packet := make([]byte, ipv6Bytes+len(payload))
	packet[0] = 6 << 4
	binary.BigEndian.PutUint16(packet[4:], uint16(len(payload)))
	packet[6], packet[7] = proto, 64
	copy(packet[8:], h.addr.AsSlice())
	copy(packet[24:], to.AsSlice())
	copy(packet[ipv6Bytes:], payload)
	at := ipv6Bytes + 6
	if proto == protoICMP6 {
		at = ipv6Bytes + 2
	}
	packet[at], packet[at+1] = 0, 0
	binary.BigEndian.PutUint16(packet[at:], checksum(packet[8:], uint32(len(payload))+uint32(proto)))
	h.tun.Outbound <- packet
}

// checksum is RFC 1071 over addresses and payload, with the rest of the pseudo-header as its start.
func checksum(bytes []byte, sum uint32) uint16 {
	for i := 0; i+1 < len(bytes); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(bytes[i:]))
	}
	if len(bytes)%2 == 1 {
		sum += uint32(bytes[len(bytes)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	if sum == 0xffff {
		return 0xffff
	}
	return ^uint16(sum)
}
