// Command podnet is the pod network of a kind cluster whose nodes share one bridge.
//
// It stands in for kindnet. On each node it watches the list of nodes and keeps three things right: the CNI
// configuration for the node's own range of pod addresses, a route to every other node's range, and the
// masquerading of what leaves the cluster. It talks to the control plane node directly, since Services do
// not work before it does, and it has no dependencies: it costs a few megabytes and, while no node comes or
// goes, no CPU time. It enforces no NetworkPolicy.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"
	cniFile        = "/etc/cni/net.d/10-podnet.conflist"
	chain          = "PODNET-MASQUERADE"
)

// node is what we need to know of a Node.
type node struct {
	Metadata struct{ Name string }
	Spec     struct{ PodCIDRs []string }
	Status   struct {
		Addresses []struct{ Type, Address string }
	}
}

type nodeList struct {
	Metadata struct{ ResourceVersion string }
	Items    []node
}

type event struct {
	Type   string
	Object node
}

// network is what the nodes were like last, and how to ask again.
type network struct {
	api, self, clusterRange string
	client                  *http.Client
	nodes                   map[string]node
	routed                  map[string]string // pod range -> gateway
}

func main() {
	pool := x509.NewCertPool()
	authority, err := os.ReadFile(filepath.Join(serviceAccount, "ca.crt"))
	if err != nil || !pool.AppendCertsFromPEM(authority) {
		log.Fatalf("no certificate authority: %v", err)
	}
	transport := &http.Transport{
		TLSClientConfig:       &tls.Config{RootCAs: pool},
		ResponseHeaderTimeout: 20 * time.Second,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
	}
	api, err := serverOf(os.Getenv("KUBELET_CONFIG"))
	if err != nil {
		log.Fatal(err)
	}
	n := &network{
		api:          api,
		self:         os.Getenv("NODE_NAME"),
		clusterRange: os.Getenv("CLUSTER_RANGE"),
		client:       &http.Client{Transport: transport},
		routed:       map[string]string{},
	}
	for {
		if err := n.follow(context.Background()); err != nil {
			log.Printf("starting over: %v", err)
			time.Sleep(2 * time.Second)
		}
	}
}

// follow lists the nodes, then applies each change; it returns when the watch ends.
func (n *network) follow(ctx context.Context) error {
	body, err := n.get(ctx, "/api/v1/nodes")
	if err != nil {
		return err
	}
	var list nodeList
	err = json.NewDecoder(body).Decode(&list)
	body.Close()
	if err != nil {
		return err
	}
	n.nodes = map[string]node{}
	for _, item := range list.Items {
		n.nodes[item.Metadata.Name] = item
	}
	if err := n.reconcile(); err != nil {
		return err
	}
	path := "/api/v1/nodes?watch=1&allowWatchBookmarks=true&timeoutSeconds=600&resourceVersion=" + list.Metadata.ResourceVersion
	stream, err := n.get(ctx, path)
	if err != nil {
		return err
	}
	defer stream.Close()
	for decoder := json.NewDecoder(stream); ; {
		var change event
		if err := decoder.Decode(&change); err != nil {
			return nil // the server ends a watch after its time: list again
		}
		switch change.Type {
		case "ADDED", "MODIFIED":
			before, known := n.nodes[change.Object.Metadata.Name]
			n.nodes[change.Object.Metadata.Name] = change.Object
			if known && same(before, change.Object) {
				continue // a heartbeat
			}
		case "DELETED":
			delete(n.nodes, change.Object.Metadata.Name)
		case "ERROR":
			return errors.New("the watch was too old")
		default:
			continue
		}
		if err := n.reconcile(); err != nil {
			return err
		}
	}
}

// reconcile brings the node to what the list of nodes asks for.
func (n *network) reconcile() error {
	wanted := map[string]string{}
	for name, item := range n.nodes {
		for _, podRange := range item.Spec.PodCIDRs {
			if name == n.self {
				if err := writeConfiguration(podRange); err != nil {
					return err
				}
			} else if gateway := address(item); gateway != "" {
				wanted[podRange] = gateway
			}
		}
	}
	for podRange, gateway := range wanted {
		if err := run("ip", "route", "replace", podRange, "via", gateway); err != nil {
			return err
		}
	}
	for podRange := range n.routed {
		if _, still := wanted[podRange]; !still {
			_ = run("ip", "route", "delete", podRange) // gone already is fine
		}
	}
	n.routed = wanted
	return n.masquerade()
}

// masquerade hides pod addresses from what is outside the cluster, which has no route back to them.
func (n *network) masquerade() error {
	if run("iptables", "-w", "-t", "nat", "-C", "POSTROUTING", "-s", n.clusterRange, "-j", chain) == nil {
		return nil
	}
	_ = run("iptables", "-w", "-t", "nat", "-N", chain)
	for _, rule := range [][]string{
		{"-F", chain},
		{"-A", chain, "-d", n.clusterRange, "-j", "RETURN"},
		{"-A", chain, "-d", "224.0.0.0/4", "-j", "RETURN"},
		{"-A", chain, "-j", "MASQUERADE"},
		{"-A", "POSTROUTING", "-s", n.clusterRange, "-j", chain},
	} {
		if err := run("iptables", append([]string{"-w", "-t", "nat"}, rule...)...); err != nil {
			return err
		}
	}
	return nil
}

func (n *network) get(ctx context.Context, path string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, n.api+path, nil)
	if err != nil {
		return nil, err
	}
	token, err := os.ReadFile(filepath.Join(serviceAccount, "token")) // read each time: it is rotated
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	response, err := n.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("%s: %s", path, response.Status)
	}
	return response.Body, nil
}

// serverOf finds the API server's address in a kubeconfig file, without a YAML parser for one line.
func serverOf(kubeconfig string) (string, error) {
	content, err := os.ReadFile(kubeconfig)
	if err != nil {
		return "", err
	}
	for _, line := range strings.Split(string(content), "\n") {
		if server, found := strings.CutPrefix(strings.TrimSpace(line), "server:"); found {
			return strings.TrimSpace(server), nil
		}
	}
	return "", fmt.Errorf("%s names no server", kubeconfig)
}

func same(a, b node) bool {
	return address(a) == address(b) && strings.Join(a.Spec.PodCIDRs, ",") == strings.Join(b.Spec.PodCIDRs, ",")
}

func address(item node) string {
	for _, candidate := range item.Status.Addresses {
		if ip := net.ParseIP(candidate.Address); candidate.Type == "InternalIP" && ip.To4() != nil {
			return candidate.Address
		}
	}
	return ""
}

func writeConfiguration(podRange string) error {
	content := fmt.Sprintf(`{
  "cniVersion": "0.3.1",
  "name": "podnet",
  "plugins": [
    {
      "type": "ptp",
      "ipMasq": false,
      "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam-state", "routes": [{"dst": "0.0.0.0/0"}], "ranges": [[{"subnet": %q}]]}
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
`, podRange)
	if present, err := os.ReadFile(cniFile); err == nil && string(present) == content {
		return nil
	}
	scratch := cniFile + ".new" // renamed into place: containerd must never read half of it
	if err := os.WriteFile(scratch, []byte(content), 0o644); err != nil {
		return err
	}
	return os.Rename(scratch, cniFile)
}

func run(name string, arguments ...string) error {
	if said, err := exec.Command(name, arguments...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(arguments, " "), err, said)
	}
	return nil
}
