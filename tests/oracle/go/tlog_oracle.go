// Checks what nocere's log wrote with golang.org/x/mod/sumdb, which we did not write.
// One JSON request a line on standard input, one JSON answer a line on standard output.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io/ioutil"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type request struct {
	Op     string
	Vkeys  []string
	Note   []byte
	Skey   string
	Text   string
	Prefix string
	Index  int64
	Old    int64
	Size   int64
	Leaf   []byte
	Root   []byte
	Older  []byte
	Proof  [][]byte
}

type answer struct {
	Error   string
	Text    string
	Signers []string
	Leaf    []byte
	Proof   [][]byte
}

// tiles reads the published files; their paths lack Go's height element.
type tiles struct{ prefix string }

func (t tiles) Height() int                        { return 8 }
func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}
func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, tile := range wanted {
		data, err := ioutil.ReadFile(filepath.Join(t.prefix, strings.Replace(tile.Path(), "tile/8/", "tile/", 1)))
		if err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, nil
}

func hash(b []byte) (h tlog.Hash) {
	copy(h[:], b)
	return h
}

func hashes(list [][]byte) (out []tlog.Hash) {
	for _, b := range list {
		out = append(out, hash(b))
	}
	return out
}

func raw(list []tlog.Hash) (out [][]byte) {
	for _, h := range list {
		h := h
		out = append(out, h[:])
	}
	return out
}

func serve(r request) (a answer, err error) {
	switch r.Op {
	case "open":
		var known []note.Verifier
		for _, vkey := range r.Vkeys {
			v, err := note.NewVerifier(vkey)
			if err != nil {
				return a, err
			}
			known = append(known, v)
		}
		n, err := note.Open(r.Note, note.VerifierList(known...))
		if err != nil {
			return a, err
		}
		a.Text = n.Text
		for _, s := range n.Sigs {
			a.Signers = append(a.Signers, fmt.Sprintf("%s+%08x", s.Name, s.Hash))
		}
	case "sign":
		s, err := note.NewSigner(r.Skey)
		if err != nil {
			return a, err
		}
		msg, err := note.Sign(&note.Note{Text: r.Text}, s)
		if err != nil {
			return a, err
		}
		a.Text = string(msg)
	case "inclusion":
		return a, tlog.CheckRecord(hashes(r.Proof), r.Size, hash(r.Root), r.Index, hash(r.Leaf))
	case "consistency":
		return a, tlog.CheckTree(hashes(r.Proof), r.Size, hash(r.Root), r.Old, hash(r.Older))
	case "read inclusion", "read consistency":
		tree := tlog.Tree{N: r.Size, Hash: hash(r.Root)}
		reader := tlog.TileHashReader(tree, tiles{r.Prefix})
		if r.Op == "read consistency" {
			p, err := tlog.ProveTree(r.Size, r.Old, reader)
			a.Proof = raw(p)
			return a, err
		}
		leaf, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, r.Index)})
		if err != nil {
			return a, err
		}
		a.Leaf = leaf[0][:]
		p, err := tlog.ProveRecord(r.Size, r.Index, reader)
		a.Proof = raw(p)
		return a, err
	default:
		return a, fmt.Errorf("unknown op %q", r.Op)
	}
	return a, nil
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(make([]byte, 1<<20), 1<<26)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		var r request
		var a answer
		err := json.Unmarshal(in.Bytes(), &r)
		if err == nil {
			a, err = serve(r)
		}
		if err != nil {
			a.Error = err.Error()
		}
		if out.Encode(a) != nil {
			os.Exit(1)
		}
	}
}
