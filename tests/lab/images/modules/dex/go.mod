module lab.local/dex

go 1.25.8

require github.com/dexidp/dex v0.0.0-20260806151424-ab64ed778070
