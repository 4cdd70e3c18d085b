module coder-network/protocol-interop

go 1.25

require (
	github.com/hashicorp/yamux v0.1.2
	storj.io/drpc v0.0.33
)

require github.com/zeebo/errs v1.2.2 // indirect
