// The program in the images that stand in for upstream's.
module lab.local/standin

go 1.25.0
