//go:build unix && !linux

package runner

const ioctlReadable = 0x4004667f // FIONREAD of the BSDs
