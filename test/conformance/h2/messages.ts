/** Error codes, and requests as messages: what is malformed is answered with an error and goes nowhere (RFC 9113 sections 7 and 8). */
import { data, ErrorCode, goaway, headers, more, ping, pushPromise, rstStream } from "../../support/h2-frames.ts";
import type { Field } from "../../support/h2-hpack.ts";
import { closed, connectionError, either, head, pong, reply, streamError } from "../../support/h2.ts";
import { reply as response } from "../../support/raw-backend.ts";
import { asks, get, type H2Case, hold, line, post, posted, type Row, section } from "./cases.ts";

const { PROTOCOL_ERROR, NO_ERROR, CANCEL } = ErrorCode;
const GET = line("GET");
const POST = line("POST");

/** A GET with exactly these fields must be refused as malformed. */
function malformed(name: string, fields: readonly Field[]): Row {
  return [name, [headers(1, fields), streamError(1, PROTOCOL_ERROR)], "nothing"];
}

/** The usual pseudo-headers without the one of this name. */
function without(name: string): Field[] {
  return asks("GET").filter(([key]) => key !== name);
}

/** The usual pseudo-headers with another value of one. */
function instead(name: string, value: string): Field[] {
  return asks("GET").map((field) => (field[0] === name ? [name, value] : field));
}

export const messages: readonly H2Case[] = [
  ...section(
    "http2/7",
    "RFC 9113 7",
    ["GOAWAY with an unknown error code", [goaway(0, 0xff), ping("unknown!"), either(closed, pong("unknown!"))], "nothing"],
    ["RST_STREAM with an unknown error code", [post(1), rstStream(1, 0xff), ping("unknown!"), pong("unknown!")], "nothing whole"],
  ),

  ...section(
    "http2/8.1",
    "RFC 9113 8.1, rule 61",
    ["a second HEADERS without END_STREAM", [post(1), data(1, "test", more), headers(1, [["x-test", "test"]], more), streamError(1, PROTOCOL_ERROR)], "nothing whole"],
    ["a second HEADERS without END_STREAM and without DATA before it", [post(1), headers(1, [["x-test", "test"]], more), streamError(1, PROTOCOL_ERROR)], "nothing whole"],
    ["trailers without DATA", [post(1), headers(1, [["x-test", "test"]]), reply(1)], [{ ...POST, body: "", trailers: ["x-test: test"] }]],
    ["trailers that are empty", [post(1), data(1, "test", more), headers(1, []), reply(1)], [{ ...POST, body: "test", trailers: [] }]],
    ["DATA after trailers", [post(1), data(1, "test", more), headers(1, [["x-test", "test"]]), data(1, "more"), streamError(1, ErrorCode.STREAM_CLOSED)], "anything", { script: hold }],
    ["a reply before the request is whole", [post(1), head(1, 413), rstStream(1, NO_ERROR)], "nothing whole", { script: (_, connection) => connection.write(response(413, "big")) }],
  ),

  ...section("http2/8.1.2", "RFC 9113 8.2.1, rule 55", malformed("an upper-case field name", asks("GET", "/", ["X-TEST", "test"]))),
  ...section(
    "http2/8.1.2.1",
    "RFC 9113 8.3, rule 57",
    malformed("an unknown pseudo-header", [...asks("GET"), [":test", "test"]]),
    malformed("a pseudo-header of replies", [...asks("GET"), [":status", "200"]]),
    ["a pseudo-header in trailers", [post(1), data(1, "test", more), headers(1, [[":method", "GET"]]), streamError(1, PROTOCOL_ERROR)], "nothing whole"],
    malformed("a pseudo-header behind a field", [[":method", "GET"], [":scheme", "http"], ["x-test", "test"], [":path", "/"], [":authority", "a.test"]]),
  ),
  ...section(
    "http2/8.1.2.2",
    "RFC 9113 8.2.2, rule 56",
    malformed("a connection-specific field", asks("GET", "/", ["connection", "keep-alive"])),
    malformed("TE other than trailers", asks("GET", "/", ["te", "trailers, deflate"])),
    ["TE: trailers", [get(1, "/", ["te", "trailers"]), reply(1)], [GET]],
  ),
  ...section(
    "http2/8.1.2.3",
    "RFC 9113 8.3.1, rule 57",
    malformed("an empty :path", instead(":path", "")),
    malformed("no :method", without(":method")),
    malformed("no :scheme", without(":scheme")),
    malformed("no :path", without(":path")),
    malformed(":method twice", [[":method", "GET"], ...asks("GET")]),
    malformed(":scheme twice", [[":scheme", "http"], ...asks("GET")]),
    malformed(":path twice", [[":path", "/"], ...asks("GET")]),
  ),
  ...section(
    "http2/8.1.2.6",
    "RFC 9113 8.1.1, rule 59",
    ["content-length that is not the length of DATA", [post(1, "/", ["content-length", "1"]), data(1, "test"), streamError(1, PROTOCOL_ERROR)], "nothing whole"],
    ["content-length that is not the sum of several DATA", [post(1, "/", ["content-length", "1"]), data(1, "test", more), data(1, "test"), streamError(1, PROTOCOL_ERROR)], "nothing whole"],
  ),
  ...section("http2/8.2", "RFC 9113 8.4", ["PUSH_PROMISE of a client", [pushPromise(1, 2, asks("GET")), connectionError(PROTOCOL_ERROR)], "nothing"]),
  ...section(
    "push",
    "RFC 9113 8.4",
    ["PUSH_PROMISE of a client on an open stream", [post(1), pushPromise(1, 2, asks("GET")), connectionError(PROTOCOL_ERROR)], "nothing whole"],
    ["PUSH_PROMISE of a client on a stream that is half-closed", [get(1), pushPromise(1, 2, asks("GET")), connectionError(PROTOCOL_ERROR)], "anything", { script: hold }],
  ),

  ...section(
    "connect",
    "RFC 9113 8.5, RFC 8441, rule 39",
    ["CONNECT is refused with 405", [headers(1, [[":method", "CONNECT"], [":authority", "a.test:443"]], more), head(1, 405)], "nothing"],
    ["CONNECT with :scheme and :path is malformed", [headers(1, asks("CONNECT"), more), streamError(1, PROTOCOL_ERROR)], "nothing"],
    ["CONNECT without :authority is malformed", [headers(1, [[":method", "CONNECT"]], more), streamError(1, PROTOCOL_ERROR)], "nothing"],
    ["CONNECT with END_STREAM is no tunnel either", [headers(1, [[":method", "CONNECT"], [":authority", "a.test:443"]]), either(head(1, 405), streamError(1, PROTOCOL_ERROR))], "nothing"],
    malformed(":protocol with another method than CONNECT", [[":method", "GET"], [":protocol", "websocket"], ...asks("GET").slice(1)]),
    malformed(":protocol twice", [[":method", "CONNECT"], [":protocol", "websocket"], [":protocol", "websocket"], ...asks("CONNECT").slice(1)]),
    ["extended CONNECT without :path is malformed", [headers(1, [[":method", "CONNECT"], [":protocol", "websocket"], [":scheme", "http"], [":authority", "a.test"]], more), streamError(1, PROTOCOL_ERROR)], "nothing"],
  ),

  ...section(
    "answers",
    "RFC 9110 9, rules 40, 43",
    ["TRACE is refused with 405", [headers(1, asks("TRACE")), head(1, 405)], "nothing"],
    ["OPTIONS with max-forwards: 0 is answered here", [headers(1, asks("OPTIONS", "/", ["max-forwards", "0"])), either(reply(1, 200), reply(1, 204))], "nothing"],
    ["an expectation that nobody knows", [get(1, "/", ["expect", "tea"]), reply(1, 417)], "nothing"],
    ["expect: 100-continue with the body at once", [posted(1, "test", "/", ["expect", "100-continue"]), reply(1)], [{ ...POST, body: "test", has: { expect: /^100-continue$/i } }]],
    [
      "expect: 100-continue, and 100 before the body",
      [
        post(1, "/", ["expect", "100-continue"], ["content-length", "4"]),
        { what: "100", look: (client) => client.stream(1).interim.some(([status]) => status?.[1] === "100") || undefined },
        data(1, "test"),
        reply(1),
      ],
      [{ ...POST, body: "test" }],
      {
        script: async (request, connection) => {
          connection.write("HTTP/1.1 100 Continue\r\n\r\n");
          if (await request.ended) connection.write(response(200, "thanks"));
        },
      },
    ],
    ["a request whose client cancels it is cancelled at the back end", [get(1, "/slow"), (client) => client.roundTrip(), rstStream(1, CANCEL), get(3, "/next"), head(3)], [line("GET", "/slow"), line("GET", "/next")], { script: (request, connection) => request.target !== "/slow" && connection.write(response(200, "next")) }],
  ),
];
