module aurorapg.io/tests/kind/node/podnet

go 1.25
