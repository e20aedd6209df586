/** `[[routes]]`. */
import { z } from "zod";
import { key } from "./key.ts";
import { fieldValue, headerName, name, path } from "./types.ts";

export const route = z.strictObject({
  name: key(name, "How logs, metrics and the admin API call it; absent: by what it matches, as GET api.example.com/v1."),
  hosts: key(z.array(z.string().regex(/^(\*|(\*\.)?[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])$/, { error: 'a host is a name or "*.name", without scheme, port or path' })), "Any of these; absent: every host. On a tls-passthrough listener: the name that the client asks for."),
  path_prefix: key(path, "Whole segments from the start of the path: /v1 matches /v1 and /v1/x, not /v10."),
  methods: key(z.array(z.string().regex(/^[!#$%&'*+\-.^_`|~0-9A-Z]+$/, { error: "methods are written in upper case" })), "Any of these; absent: every method."),
  headers: key(z.record(headerName, z.union([fieldValue, z.literal(true)])), "All of these: a value, or true for any value."),
  listeners: key(z.array(name), "The http and tls-passthrough listeners that it is for; absent: all of them."),
  upstream: z.string().meta({ description: "Where to." }),
});
