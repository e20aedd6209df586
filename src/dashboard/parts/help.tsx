/** What the keys do. */
import { Dialog } from "./dialog.tsx";

const KEYS: readonly (readonly [string, string])[] = [
  ["/", "Search targets, upstreams, routes and listeners; Enter opens the first, Escape empties it"],
  ["g o", "Overview"],
  ["g x", "Exchanges"],
  ["g e", "Events"],
  ["g c", "Configuration"],
  ["t", "Light, dark, or as the system has it"],
  ["← →", "In a chart: the values of a point in time; Home and End: the first and the last"],
  ["?", "This help"],
];

export function Help({ onClose }: { readonly onClose: () => void }) {
  return (
    <Dialog title="Keys" onClose={onClose}>
      <table class="keys">
        <tbody>
          {KEYS.map(([key, what]) => (
            <tr key={key}>
              <th scope="row">
                {key.split(" ").map((one) => (
                  <kbd key={one}>{one}</kbd>
                ))}
              </th>
              <td>{what}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <h3>Shapes</h3>
      <p class="soft">A disc is well, a triangle is worth a look, a cross is trouble, a ring with a bar was taken out of service on purpose.</p>
      <div class="buttons">
        <button type="button" onClick={onClose}>
          Close
        </button>
      </div>
    </Dialog>
  );
}
