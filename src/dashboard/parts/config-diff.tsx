/** What a configuration would change, and whom that touches. */
import { count } from "../../view/format.ts";
import type { Changed, ConfigDiff } from "../../view/shapes.ts";

export function ConfigDiffView({ diff }: { readonly diff: ConfigDiff }) {
  if (!diff.changed) return <p>It says the same as what runs.</p>;
  const touched = touchedBy(diff);
  return (
    <>
      <p>
        <b>{diff.summary}</b>; {diff.applies === "in_place" ? "workers go on as they are" : "new workers take over, the old ones drain"}.
      </p>
      <ul class="words">
        {diff.words.map((word) => (
          <li key={word}>{word}</li>
        ))}
      </ul>
      {touched.length > 0 && (
        <table class="numbers narrow">
          <thead>
            <tr>
              <th scope="col">Touched</th>
              <th scope="col">Open clients</th>
              <th scope="col">Open requests</th>
              <th scope="col">Open connections</th>
            </tr>
          </thead>
          <tbody>
            {touched.map(({ kind, name, open_clients: clients, open_requests: requests, open_connections: connections }) => (
              <tr key={`${kind} ${name}`}>
                <th scope="row">
                  {kind} {name}
                </th>
                {[clients, requests, connections].map((number, index) => (
                  <td key={`${index}`}>{number === undefined ? "" : count(number)}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}

function touchedBy({ listeners, routes, upstreams }: ConfigDiff): (Changed & { readonly kind: string })[] {
  const of = (kind: string, changes: readonly Changed[]) => changes.map((change) => ({ ...change, kind }));
  return [
    ...of("listener", [...listeners.removed, ...listeners.changed]),
    ...of("route", [...routes.removed, ...routes.changed]),
    ...of("upstream", [...upstreams.removed, ...upstreams.changed]),
    ...upstreams.changed.flatMap(({ name, targets }) => of(`target of ${name}`, [...targets.removed, ...targets.changed])),
  ].filter(({ open_clients: clients, open_requests: requests, open_connections: connections }) => (clients ?? 0) + (requests ?? 0) + (connections ?? 0) > 0);
}
