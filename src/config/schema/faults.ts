/** `[faults]`. */
import { z } from "zod";
import { parseSize } from "../values.ts";
import { key } from "./key.ts";
import { route } from "./route.ts";
import { duration, name, parsed, percent, SIZE, someSize, targetAddress, whole } from "./types.ts";

const delay = z.union([duration, z.tuple([duration, duration], { error: 'a delay is a duration, as "300ms", or a range, as ["100ms", "2s"]' })]);

/** What a fault does and to whom, beside its name. */
export const faultKeys = z.strictObject({
  routes: key(z.array(z.string()), "Labels of routes: requests that go by any of these; absent: every one, and those that match none."),
  upstreams: key(z.array(z.string()), "To any of these; absent: to every one."),
  listeners: key(z.array(name), "That came in by any of these; absent: by every one that is not udp."),
  hosts: key(route.shape.hosts.unwrap(), "For any of these; with tls-passthrough the name that the client asks for. Absent: every host."),
  methods: key(route.shape.methods.unwrap(), "Any of these; absent: every method."),
  headers: key(route.shape.headers.unwrap(), "All of these: a value, or true for any value."),
  percent: key(percent, "Of all these requests, drawn by chance.", 100),
  by_header: key(z.boolean(), "The client says what is injected, in X-Fairlead-Fault; requests without it are left alone.", false),
  delay: key(delay, 'So long the request waits before anything else happens; ["100ms", "2s"]: by chance something between.'),
  abort: key(whole(400, 599), "Answered with this status, without a target."),
  grpc_status: key(whole(1, 16), "What gRPC calls are told in its place; without abort only they are."),
  reset: key(z.boolean(), "The client's connection is reset; with HTTP/2 its stream.", false),
  throttle: key(someSize, "Bytes a second of the reply's body; tcp: of what the target sends."),
  truncate: key(z.union([parsed((text) => (text === "off" ? undefined : parseSize(text)), 'a size, as "10KiB"', SIZE), z.number().int().min(0)]), "After so much of its body the reply breaks off."),
  targets: key(z.array(targetAddress), "For target_delay and target_error: attempts at these; absent: at every one."),
  target_delay: key(delay, "So long an attempt waits before it goes to its target, as if that were slow."),
  target_error: key(z.enum(["connect-refused", "connect-timeout", "response-timeout", "target-reset"]), "What an attempt comes to, as if it were its target's doing: it is tried again, and counts against the target."),
});

export const faults = z.strictObject({
  enabled: key(z.boolean(), "Faults may be injected, by these rules and by the admin API; false: whatever else is said here.", false),
  rules: key(z.array(faultKeys.extend({ name: name.meta({ description: "How log, timeline and admin API call it." }) })), "What is injected; the first rule that matches a request, and whose percentage takes it, is it."),
});
