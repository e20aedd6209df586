/** The tcp check: a target that takes a connection is healthy. Nothing is sent. */
import { checkAddress, type CheckKind, passed } from "./check.ts";
import { converse, type Dialogue } from "./conversation.ts";

const CONNECTED = passed("connected");

const TAKE_CONNECTION: Dialogue = {
  opening: new Uint8Array(0),
  opened: () => CONNECTED,
  read: () => CONNECTED,
  ended: () => CONNECTED,
};

export const tcpCheck: CheckKind = {
  name: "tcp",
  prepare(target, config) {
    const address = checkAddress(target, config);
    return { run: (context, done) => converse(context, address, config.timeout, TAKE_CONNECTION, done) };
  },
};
