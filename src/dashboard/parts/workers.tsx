/** The processes that serve. */
import { count, milliseconds } from "../../view/format.ts";
import type { WorkerView } from "../../view/shapes.ts";

export function Workers({ workers }: { readonly workers: readonly WorkerView[] }) {
  return (
    <section aria-label="Workers">
      <h2>Workers</h2>
      <table class="numbers narrow">
        <thead>
          <tr>
            <th scope="col">Slot</th>
            <th scope="col">Process</th>
            <th scope="col">Clients</th>
            <th scope="col">Late by</th>
          </tr>
        </thead>
        <tbody>
          {workers.map(({ pid, slot, clients, lag_ms: lag }) => (
            <tr key={pid}>
              <th scope="row">{slot}</th>
              <td>{pid}</td>
              <td>{count(clients)}</td>
              <td>{milliseconds(lag)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
