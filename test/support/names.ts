/** Back ends that tell who they are. */
import { reply, type Script } from "./raw-backend.ts";

/** Answers `NAME TARGET`. */
export function alwaysName(name: string): Script {
  return async (request, connection) => {
    if (await request.ended) connection.write(reply(200, `${name} ${request.target}`));
  };
}
