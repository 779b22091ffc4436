// Command stand-in is what runs in the images that stand in for upstream's. It answers on the ports
// that its image names, with 200 and its name, whatever it is asked, and ends well when it is told
// to. Where upstream's program would do one thing and end, it ends at once. Flags are ignored.
//
//	STAND_IN_IMAGE  the reference of the image, for its answers
//	STAND_IN_PORTS  e.g. "8080 9443/tls"
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// What upstream's programs are called as, or told first, to do one thing and end: init containers,
// hooks, the Jobs of agents.
var (
	onceNames = words("sh bash cp")
	onceVerbs = words("admin apply install migrate")
)

func words(text string) map[string]bool {
	found := map[string]bool{}
	for _, word := range strings.Fields(text) {
		found[word] = true
	}
	return found
}

func main() {
	log.SetFlags(log.LstdFlags | log.LUTC)
	name := os.Getenv("STAND_IN_IMAGE")
	if endsAtOnce(os.Args) {
		log.Printf("stand-in for %s: done (%s)", name, strings.Join(os.Args, " "))
		return
	}
	// First the signal: whoever is the first process of a container dies of nothing that it does
	// not handle.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	for _, port := range strings.Fields(os.Getenv("STAND_IN_PORTS")) {
		serve(name, port)
	}
	log.Printf("stand-in for %s: ends (%s)", name, <-stop)
}

func endsAtOnce(args []string) bool {
	if onceNames[filepath.Base(args[0])] {
		return true
	}
	return len(args) > 1 && onceVerbs[args[1]]
}

// serve answers on one port. A port that is taken is another container's of the same pod.
func serve(name, port string) {
	number, kind, _ := strings.Cut(port, "/")
	listener, err := net.Listen("tcp", ":"+number)
	if err != nil {
		log.Printf("stand-in for %s: %v", name, err)
		return
	}
	if kind == "tls" {
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate()}})
	}
	log.Printf("stand-in for %s: listening on port %s", name, port)
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			fmt.Fprintf(w, "stand-in for %s\n", name)
		})}
	go func() { log.Print(server.Serve(listener)) }()
}

// certificate makes one that nobody can check, as operators' webhooks have before they get theirs.
func certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "stand-in"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(10, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
