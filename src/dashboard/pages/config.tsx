/** Which configuration runs, what was rejected, what the file would change; certificates and workers. */
import { count, milliseconds, moment } from "../../view/format.ts";
import type { Overview } from "../../view/shapes.ts";
import { Badge, Mark } from "../parts/mark.tsx";

export function ConfigPage({ overview }: { readonly overview: Overview }) {
  const { instance, listeners } = overview;
  const { applied, rejected } = instance.config;
  const certificates = listeners.flatMap(({ name, certificates: all }) => all.map((certificate) => ({ listener: name, ...certificate })));
  return (
    <>
      <h1>
        Configuration <Badge level={rejected === null ? "ok" : "bad"} word={rejected === null ? "applied" : "last one rejected"} />
      </h1>
      <dl class="facts">
        <dt>Runs</dt>
        <dd>
          generation {applied.generation}, since {moment(applied.at)}
        </dd>
        {rejected !== null && (
          <>
            <dt>Rejected</dt>
            <dd class="level-bad">
              {moment(rejected.at)}: nothing of it is in force
              <ul class="errors">
                {rejected.errors.map((error) => (
                  <li key={error}>
                    <pre>{error}</pre>
                  </li>
                ))}
              </ul>
            </dd>
          </>
        )}
        <dt>Version</dt>
        <dd>
          {instance.version}, process {instance.pid}, since {moment(instance.started_at)}
        </dd>
      </dl>
      <h2>Workers</h2>
      <table class="numbers narrow">
        <thead>
          <tr>
            <th scope="col">Slot</th>
            <th scope="col">Process</th>
            <th scope="col">Clients</th>
            <th scope="col">Late</th>
          </tr>
        </thead>
        <tbody>
          {instance.workers.map(({ pid, slot, clients, lag_ms }) => (
            <tr key={pid}>
              <th scope="row">{slot}</th>
              <td>{pid}</td>
              <td>{count(clients)}</td>
              <td>{milliseconds(lag_ms)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <h2>Certificates</h2>
      {certificates.length === 0 && <p class="nothing">No listener has one.</p>}
      {certificates.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label="Certificates as a table">
          <table class="numbers">
            <thead>
              <tr>
                <th scope="col" class="text">
                  Listener
                </th>
                <th scope="col" class="text">
                  Names
                </th>
                <th scope="col">Until</th>
                <th scope="col">Days left</th>
              </tr>
            </thead>
            <tbody>
              {certificates.map(({ listener, names, not_after, days_left: days }) => (
                <tr key={`${listener} ${names.join()}`}>
                  <th scope="row">{listener}</th>
                  <td class="text">{names.join(", ")}</td>
                  <td>{moment(not_after)}</td>
                  <td class={days <= 14 ? "level-bad" : ""}>
                    {days <= 14 && <Mark level={days <= 3 ? "bad" : "warn"} />} {days < 0 ? "expired" : days}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}
