/** All fuzzers. */
import type { Fuzzer } from "../fuzzer.ts";
import { clientHelloFuzzer, proxyHeader } from "./arrivals.ts";
import { clientH1, clientH2 } from "./client-side.ts";
import { config } from "./config.ts";
import { chunks, replyHead, requestHead } from "./h1-messages.ts";
import { hpack } from "./hpack.ts";
import { targetH1, targetH2 } from "./target-side.ts";
import { accessFormat, admin, cookie, traceparent } from "./texts.ts";

export const fuzzers: readonly Fuzzer[] = [requestHead, replyHead, chunks, clientH1, targetH1, clientH2, targetH2, hpack, clientHelloFuzzer, proxyHeader, config, cookie, traceparent, accessFormat, admin];
