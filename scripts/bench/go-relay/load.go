package main

import (
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Silence after which packets in flight count as lost.
const lostAfter = 200 * time.Millisecond

type loaded struct {
	Packets int64   `json:"packets"`
	Lost    int64   `json:"lost"`
	Seconds float64 `json:"seconds"`
}

// Sends from one side of every pair to the other for the time requested.
func load(pairs []pair, asked request) loaded {
	var wait sync.WaitGroup
	var lost atomic.Int64
	started := time.Now()
	until := started.Add(inSeconds(asked.Seconds))
	before := receivedBy(pairs)
	for _, p := range pairs {
		wait.Go(func() {
			if asked.Rate > 0 {
				p.pace(asked.Bytes, asked.Rate/float64(len(pairs)), until)
			} else {
				lost.Add(p.flood(asked.Bytes, asked.Window, until))
			}
		})
	}
	wait.Wait()
	return loaded{receivedBy(pairs) - before, lost.Load(), time.Since(started).Seconds()}
}

func receivedBy(pairs []pair) (sum int64) {
	for _, p := range pairs {
		sum += p.to.received.Load()
	}
	return sum
}

// Keeps `window` packets in flight, as a transport above would. Returns how many were lost.
func (p pair) flood(bytes, window int, until time.Time) (lost int64) {
	frames := framesFor(p.to, window, bytes)
	frameBytes := len(frames) / window
	select {
	case <-p.to.credit:
	default:
	}
	room, underWay := window, 0
	late := time.NewTimer(lostAfter)
	defer late.Stop()
	for time.Now().Before(until) {
		if room > 0 {
			if _, err := p.from.conn.Write(frames[:room*frameBytes]); err != nil {
				return lost
			}
			underWay += room
			room = 0
		}
		late.Reset(lostAfter)
		select {
		case arrived := <-p.to.credit:
			// Late arrivals of packets already counted as lost do not open the window further.
			arrived = min(arrived, underWay)
			underWay -= arrived
			room += arrived
		case <-late.C:
			lost += int64(underWay)
			room, underWay = window, 0
		}
	}
	return lost
}

const paceBurst = 8

// Bursts at random distances, so that the pairs do not synchronise.
func (p pair) pace(bytes int, perSecond float64, until time.Time) {
	frames := framesFor(p.to, paceBurst, bytes)
	next := time.Now()
	for time.Now().Before(until) {
		if _, err := p.from.conn.Write(frames); err != nil {
			return
		}
		next = next.Add(inSeconds(paceBurst / perSecond * (0.5 + rand.Float64())))
		time.Sleep(time.Until(next))
	}
}

type roundTrips struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
}

// Ping-pong of the last pair, one packet at a time, beside a paced load of the first pairs if a rate is requested.
func latency(asked request) (any, error) {
	pairs, err := pairsOf(0, asked.Pairs+1)
	if err != nil {
		return nil, err
	}
	loading, p := pairs[:asked.Pairs], pairs[asked.Pairs]
	var wait sync.WaitGroup
	var beside loaded
	if asked.Rate > 0 {
		wait.Go(func() { beside = load(loading, asked) })
	}
	p.to.echo.Store(true)
	defer p.to.echo.Store(false)
	select {
	case <-p.from.credit: // of an earlier load
	default:
	}
	ping := framesFor(p.to, 1, asked.Bytes)
	trips := collect(inSeconds(asked.Seconds), func() bool {
		if _, err := p.from.conn.Write(ping); err != nil {
			return false
		}
		select {
		case <-p.from.credit:
			return true
		case <-time.After(lostAfter):
			return false
		}
	})
	wait.Wait()
	return struct {
		roundTrips
		Beside loaded `json:"beside"`
	}{trips, beside}, nil
}

// Microseconds of as many round trips as fit.
func collect(within time.Duration, trip func() bool) roundTrips {
	var took []float64
	for until := time.Now().Add(within); time.Now().Before(until); {
		sent := time.Now()
		if trip() {
			took = append(took, float64(time.Since(sent).Nanoseconds())/1000)
		}
	}
	if len(took) == 0 {
		return roundTrips{}
	}
	slices.Sort(took)
	return roundTrips{len(took), took[len(took)/2], took[len(took)*99/100]}
}

// The same ping-pong over one TCP connection of this program with itself: two hops where a relay needs four.
func direct(asked request) (any, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	near, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return nil, err
	}
	defer near.Close()
	far, err := listener.Accept()
	if err != nil {
		return nil, err
	}
	defer far.Close()
	go io.Copy(struct{ io.Writer }{far}, struct{ io.Reader }{far})
	packet := make([]byte, headerBytes+keyBytes+asked.Bytes)
	return collect(inSeconds(asked.Seconds), func() bool {
		if _, err := near.Write(packet); err != nil {
			return false
		}
		_, err := io.ReadFull(near, packet)
		return err == nil
	}), nil
}

// Every connection sends to its neighbour, a few packets at a time, all together at the requested rate.
func busy(asked request) loaded {
	before := received()
	frames := make([][]byte, len(clients))
	for i := range clients {
		frames[i] = framesFor(clients[(i+1)%len(clients)], busyBurst, asked.Bytes)
	}
	started := time.Now()
	until := started.Add(inSeconds(asked.Seconds))
	next := started
	for i := 0; time.Now().Before(until); i = (i + 1) % len(clients) {
		if _, err := clients[i].conn.Write(frames[i]); err != nil {
			break
		}
		next = next.Add(inSeconds(busyBurst / asked.Rate))
		if ahead := time.Until(next); ahead > time.Millisecond {
			time.Sleep(ahead)
		}
	}
	return loaded{received() - before, 0, time.Since(started).Seconds()}
}

const busyBurst = 4

func received() (sum int64) {
	for _, c := range clients {
		sum += c.received.Load()
	}
	return sum
}
