/** What is wrong with a configuration, and where. */
import type { ConfigError } from "../../view/shapes.ts";

export function ConfigErrors({ errors }: { readonly errors: readonly ConfigError[] }) {
  return (
    <ul class="errors">
      {errors.map(({ message, line, column, hint }) => (
        <li key={`${line} ${column} ${message}`}>
          {line !== null && (
            <b>
              line {line}
              {column !== null && `, column ${column}`}:{" "}
            </b>
          )}
          {message}
          {hint !== null && <span class="soft"> – {hint}</span>}
        </li>
      ))}
    </ul>
  );
}
