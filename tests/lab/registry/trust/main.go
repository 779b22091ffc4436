// Command trust makes what the registry tests need to be strict with: certificates, a password
// file, and a token server in front of which a registry sends its clients away.
//
//	trust files DIR            ca.pem server.pem server.key token.pem token.key htpasswd
//	trust tokens DIR SERVICE   serve tokens with TLS on a port that it prints
//
// The user is "robot" and the password comes from the environment (TRUST_PASSWORD).
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"
)

const (
	user   = "robot"
	issuer = "trust"
)

type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

func main() {
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "files":
		err = files(os.Args[2])
	case len(os.Args) == 4 && os.Args[1] == "tokens":
		err = tokens(os.Args[2], os.Args[3])
	default:
		err = fmt.Errorf("usage: trust files DIR | trust tokens DIR SERVICE")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func files(dir string) error {
	hash, err := bcrypt.GenerateFromPassword([]byte(os.Getenv("TRUST_PASSWORD")), bcrypt.MinCost)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "htpasswd"), []byte(user+":"+string(hash)+"\n"), 0o600); err != nil {
		return err
	}
	authority := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "registry tests"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	caKey, err := issue(dir, "ca", authority, authority, nil)
	if err != nil {
		return err
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "127.0.0.1"},
		NotBefore:    authority.NotBefore,
		NotAfter:     authority.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:     []string{"localhost"},
	}
	if _, err := issue(dir, "server", server, authority, caKey); err != nil {
		return err
	}
	signer := &x509.Certificate{
		SerialNumber: big.NewInt(3),
		Subject:      pkix.Name{CommonName: issuer},
		NotBefore:    authority.NotBefore,
		NotAfter:     authority.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	_, err = issue(dir, "token", signer, authority, caKey)
	return err
}

// issue writes NAME.pem and NAME.key; without a key of the parent it signs itself.
func issue(dir, name string, cert, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if parentKey == nil {
		parentKey = key
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, key.Public(), parentKey)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := write(dir, name+".pem", "CERTIFICATE", der); err != nil {
		return nil, err
	}
	return key, write(dir, name+".key", "EC PRIVATE KEY", private)
}

func write(dir, name, kind string, der []byte) error {
	block := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	return os.WriteFile(filepath.Join(dir, name), block, 0o600)
}

func read(dir, name string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	return block.Bytes, nil
}

func tokens(dir, service string) error {
	cert, err := read(dir, "token.pem")
	if err != nil {
		return err
	}
	der, err := read(dir, "token.key")
	if err != nil {
		return err
	}
	key, err := x509.ParseECPrivateKey(der)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	handler := func(w http.ResponseWriter, r *http.Request) {
		name, password, ok := r.BasicAuth()
		known := ok && name == user && password == os.Getenv("TRUST_PASSWORD")
		if !known || r.URL.Query().Get("service") != service {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		token, err := sign(key, cert, service, r.URL.Query()["scope"])
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"token": token, "expires_in": 300})
	}
	return http.ServeTLS(listener, http.HandlerFunc(handler),
		filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key"))
}

// sign makes a token as https://distribution.github.io/distribution/spec/auth/jwt/ wants it.
func sign(key *ecdsa.PrivateKey, cert []byte, service string, scopes []string) (string, error) {
	granted := []access{}
	for _, scope := range scopes {
		parts := strings.Split(scope, ":")
		if len(parts) == 3 {
			granted = append(granted, access{parts[0], parts[1], strings.Split(parts[2], ",")})
		}
	}
	now := time.Now()
	head, err := part(map[string]any{"typ": "JWT", "alg": "ES256", "x5c": [][]byte{cert}})
	if err != nil {
		return "", err
	}
	claims, err := part(map[string]any{
		"iss": issuer, "sub": user, "aud": service, "access": granted,
		"nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(head + "." + claims))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		return "", err
	}
	signature := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return head + "." + claims + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

func part(data any) (string, error) {
	text, err := json.Marshal(data)
	return base64.RawURLEncoding.EncodeToString(text), err
}
