module aurorapg.io/tests/kind/node/pause

go 1.25
