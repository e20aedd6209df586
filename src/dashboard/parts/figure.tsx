/** A number that matters, and its name. For use in a `<dl class="figures">`. */
import type { Level } from "../../view/health.ts";
import { Mark } from "./mark.tsx";

interface FigureProps {
  readonly name: string;
  readonly value: string;
  readonly level?: Level;
  readonly note?: string;
}

export function Figure({ name, value, level = "ok", note }: FigureProps) {
  return (
    <div class={`figure at-${level}`}>
      <dt>{name}</dt>
      <dd>
        {level !== "ok" && <Mark level={level} />}
        <span class="big">{value}</span>
        {note !== undefined && <span class="note">{note}</span>}
      </dd>
    </div>
  );
}
