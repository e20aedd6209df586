/**
 * The HTTP/2 client of Node itself (nghttp2), over cleartext by prior knowledge, or over TLS.
 * `node node-h2-client.mjs TASK URL [ARGUMENT …]` prints one JSON object.
 */
import { createHash, randomBytes } from "node:crypto";
import http2 from "node:http2";

const [task, url, ...rest] = process.argv.slice(2);
const { origin, pathname, search } = new URL(url);

function sha256(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}

function connect(settings = {}) {
  const session = http2.connect(origin, { settings, rejectUnauthorized: false });
  session.on("error", () => {});
  session.goaways = [];
  session.on("goaway", (code, last) => session.goaways.push({ code, last }));
  return session;
}

/** One exchange; resolves when its stream is closed, however it ends. */
function exchange(session, headers, { send = (stream) => stream.end(), options = {}, onData = () => {} } = {}) {
  return new Promise((resolve) => {
    const stream = session.request({ ":path": pathname + search, ...headers }, options);
    const result = { status: 0, headers: {}, trailers: {}, informations: [], bytes: 0, ended: false, continued: false };
    const chunks = [];
    stream.on("headers", (fields) => result.informations.push({ status: fields[":status"], headers: fields }));
    stream.on("continue", () => (result.continued = true));
    stream.on("response", (fields) => Object.assign(result, { status: fields[":status"], headers: { ...fields } }));
    stream.on("trailers", (fields) => Object.assign(result.trailers, fields));
    stream.on("data", (chunk) => {
      chunks.push(chunk);
      result.bytes += chunk.length;
      onData(stream, chunk);
    });
    stream.on("end", () => (result.ended = true));
    stream.on("error", (error) => (result.error = error.code));
    stream.on("close", () => {
      const body = Buffer.concat(chunks);
      resolve({ ...result, rstCode: stream.rstCode, sha256: sha256(body), body: body.length < 4096 ? body.toString("latin1") : "" });
    });
    send(stream);
  });
}

async function once(headers, more, settings) {
  const session = connect(settings);
  const result = await exchange(session, headers, more);
  session.close();
  return result;
}

const tasks = {
  get: () => once({}),
  method: (method) => once({ ":method": method }, { options: { endStream: true } }),
  async post(bytes) {
    const body = randomBytes(Number(bytes));
    const result = await once({ ":method": "POST" }, { send: (stream) => stream.end(body) });
    return { ...result, sent: sha256(body) };
  },
  trailers: () =>
    once(
      { ":method": "POST", trailer: "x-checksum" },
      {
        options: { waitForTrailers: true },
        send: (stream) => {
          stream.on("wantTrailers", () => stream.sendTrailers({ "x-checksum": "abc" }));
          stream.end("one two");
        },
      },
    ),
  continue: () => once({ ":method": "POST", expect: "100-continue", "content-length": 5 }, { send: (stream) => stream.on("continue", () => stream.end("12345")) }),
  /** With a window of so many bytes for each stream. */
  window: (size) => once({}, {}, { initialWindowSize: Number(size) }),
  /** COUNT requests, all at once, on one session; each must get the answer to its own query. */
  async parallel(count) {
    const session = connect();
    await new Promise((resolve) => session.once("remoteSettings", resolve));
    const results = await Promise.all(Array.from({ length: Number(count) }, (_, i) => exchange(session, { ":path": `${pathname}?${i}` })));
    const good = results.filter(({ status, body, ended }, i) => status === 200 && ended && (body.includes(`?${i}"`) || body.endsWith(`?${i}`))).length;
    session.close();
    return { good, statuses: [...new Set(results.map(({ status }) => status))] };
  },
  /** Cancels the exchange after so many bytes, then asks for `path` on the same session. */
  async cancel(bytes, path) {
    const session = connect();
    let got = 0;
    const cancelled = await exchange(session, {}, { onData: (stream, chunk) => (got += chunk.length) >= Number(bytes) && stream.close(http2.constants.NGHTTP2_CANCEL) });
    const next = await exchange(session, { ":path": path });
    session.close();
    return { cancelled: { ...cancelled, body: "" }, next: next.status };
  },
  /** One exchange, then another on the same session: what happened to the first must not matter to the second. */
  async "get-twice"(path) {
    const session = connect();
    const first = await exchange(session, {});
    const second = await exchange(session, { ":path": path });
    session.close();
    return { first, second: second.status };
  },
  /** Asks with so many streams at a time until the server says goodbye; whatever had been begun must end well. */
  async "until-goaway"(streams) {
    const session = connect();
    const failures = [];
    let [good, refused] = [0, 0];
    const ask = async () => {
      while (session.goaways.length === 0 && !session.closed && !session.destroyed) {
        const { status, ended, rstCode, error } = await exchange(session, {});
        if (status === 200 && ended) good++;
        else if (rstCode === http2.constants.NGHTTP2_REFUSED_STREAM) refused++;
        else failures.push({ status, ended, rstCode, error });
        if (good === 100) console.log(JSON.stringify({ event: "busy" }));
      }
    };
    await Promise.all(Array.from({ length: Number(streams) }, ask));
    return { good, refused, failures, goaways: session.goaways };
  },
};

try {
  console.log(JSON.stringify(await tasks[task](...rest)));
} catch (error) {
  console.log(JSON.stringify({ error: String(error), code: error?.code }));
}
process.exit(0);
