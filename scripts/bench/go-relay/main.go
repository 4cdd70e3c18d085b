// Load for a DERP relay: many clients in one process, driven by JSON lines on standard input (see ../processes.ts).
// Handshakes are those of tailscale.com/derp; packets are prepared frames, so that the relay and not this program is
// the limit.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"
)

type request struct {
	Do      string  `json:"do"`
	Address string  `json:"address"`
	Count   int     `json:"count"`
	Buffer  int     `json:"buffer"`
	Pairs   int     `json:"pairs"`
	Bytes   int     `json:"bytes"`
	Window  int     `json:"window"`
	Seconds float64 `json:"seconds"`
	// Packets per second of all pairs together; 0: as fast as the window allows.
	Rate float64 `json:"rate"`
}

var clients []*client

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var asked request
		err := json.Unmarshal(lines.Bytes(), &asked)
		var answer any
		if err == nil {
			answer, err = handle(asked)
		}
		if err != nil {
			answer = map[string]string{"error": err.Error()}
		}
		text, err := json.Marshal(answer)
		if err != nil {
			text = []byte(`{"error":"an answer that is no JSON"}`)
		}
		fmt.Println(string(text))
	}
}

func handle(asked request) (any, error) {
	switch asked.Do {
	case "open":
		return struct{}{}, open(asked)
	case "close":
		for _, c := range clients {
			c.conn.Close()
		}
		clients = nil
		return struct{}{}, nil
	case "load":
		pairs, err := pairsOf(0, asked.Pairs)
		if err != nil {
			return nil, err
		}
		return load(pairs, asked), nil
	case "latency":
		return latency(asked)
	case "direct":
		return direct(asked)
	case "busy":
		return busy(asked), nil
	}
	return nil, fmt.Errorf("unknown request %q", asked.Do)
}

// Handshakes that may be under way at a time.
const atOnce = 50

func open(asked request) error {
	opened := make([]*client, asked.Count)
	var (
		wait  sync.WaitGroup
		mutex sync.Mutex
		first error
	)
	slots := make(chan struct{}, atOnce)
	for i := range opened {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			c, err := dial(asked.Address, asked.Buffer)
			if err != nil {
				mutex.Lock()
				first = err
				mutex.Unlock()
			}
			opened[i] = c
		})
	}
	wait.Wait()
	if first != nil {
		return first
	}
	clients = append(clients, opened...)
	return nil
}

type pair struct{ from, to *client }

func pairsOf(first, count int) ([]pair, error) {
	if len(clients) < 2*(first+count) {
		return nil, fmt.Errorf("%d connections are too few for %d pairs", len(clients), first+count)
	}
	pairs := make([]pair, count)
	for i := range pairs {
		at := 2 * (first + i)
		pairs[i] = pair{clients[at], clients[at+1]}
	}
	return pairs, nil
}

func inSeconds(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
