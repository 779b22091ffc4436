module lab.local/nats

go 1.25.0

require github.com/nats-io/nats-server/v2 v2.10.29
