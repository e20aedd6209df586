/** The few calls of the C library that Bun does not offer: keeping a listening socket without accepting on it, and passing it on. */
import { dlopen } from "bun:ffi";
import type { FFIFunction, Library } from "bun:ffi";

const NAMES = process.platform === "darwin" ? ["/usr/lib/libSystem.B.dylib", "libSystem.dylib"] : ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`, "libc.so"];

// No variadic function is among them: their calling convention differs on arm64 macOS.
const SYMBOLS = {
  dup: { args: ["int"], returns: "int" },
  close: { args: ["int"], returns: "int" },
  socket: { args: ["int", "int", "int"], returns: "int" },
  bind: { args: ["int", "ptr", "u32"], returns: "int" },
  listen: { args: ["int", "int"], returns: "int" },
  accept: { args: ["int", "ptr", "ptr"], returns: "int" },
  connect: { args: ["int", "ptr", "u32"], returns: "int" },
  setsockopt: { args: ["int", "int", "int", "ptr", "u32"], returns: "int" },
  recv: { args: ["int", "ptr", "u64", "int"], returns: "i64" },
  send: { args: ["int", "ptr", "u64", "int"], returns: "i64" },
  sendmsg: { args: ["int", "ptr", "int"], returns: "i64" },
  recvmsg: { args: ["int", "ptr", "int"], returns: "i64" },
  flock: { args: ["int", "int"], returns: "int" },
  poll: { args: ["ptr", "u64", "int"], returns: "int" },
  mmap: { args: ["ptr", "u64", "int", "int", "int", "i64"], returns: "ptr" },
} as const;

/** These functions of it. @throws when the system has no C library under a known name */
export function loadLibrary<Symbols extends Record<string, FFIFunction>>(symbols: Symbols): Library<Symbols>["symbols"] {
  for (const name of NAMES) {
    try {
      return dlopen(name, symbols).symbols;
    } catch {
      // The next name is another system's.
    }
  }
  throw new Error(`no C library found (tried ${NAMES.join(", ")})`);
}

type Common = Library<typeof SYMBOLS>["symbols"];

let loaded: Common | undefined;

/** @throws when the system has no C library under a known name */
export function libc(): Common {
  return (loaded ??= loadLibrary(SYMBOLS));
}
