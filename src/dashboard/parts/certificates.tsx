/** What listeners show to their clients, and for how long it is good; what ends first comes first. */
import { moment } from "../../view/format.ts";
import { certificateLevel } from "../../view/health.ts";
import type { ListenerView } from "../../view/shapes.ts";
import { Mark } from "./mark.tsx";

export function Certificates({ listeners }: { readonly listeners: readonly ListenerView[] }) {
  const all = listeners.flatMap(({ name, certificates }) => certificates.map((certificate) => ({ listener: name, ...certificate }))).toSorted((one, other) => one.days_left - other.days_left);
  return (
    <section aria-label="Certificates">
      <h2>Certificates</h2>
      {all.length === 0 && <p class="nothing">No listener has one.</p>}
      {all.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label="Certificates as a table">
          <table class="numbers">
            <thead>
              <tr>
                {["Listener", "Names"].map((title) => (
                  <th key={title} scope="col" class="text">
                    {title}
                  </th>
                ))}
                <th scope="col">Good until</th>
                <th scope="col">Days left</th>
              </tr>
            </thead>
            <tbody>
              {all.map(({ listener, names, not_after: until, days_left: days }) => {
                const level = certificateLevel(days);
                return (
                  <tr key={`${listener} ${names.join(" ")}`} class={`at-${level}`}>
                    <th scope="row">{listener}</th>
                    <td class="text">{names.join(", ")}</td>
                    <td>{moment(until)}</td>
                    <td class={level === "ok" ? "" : `level-${level}`}>
                      {level !== "ok" && <Mark level={level} />} {days < 0 ? "expired" : days}
                    </td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
