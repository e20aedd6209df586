/** What is wrong now: the first thing on every page. */
import { useState } from "preact/hooks";
import type { Finding } from "../../view/findings.ts";
import { hrefOf, type Route } from "../route.ts";
import { Mark } from "./mark.tsx";

/** More are behind a button; fewer where they are not what the page is about. */
const MOST = { overview: 6, elsewhere: 3 };
const WORDS = { bad: "Broken", warn: "Look at", off: "On purpose", ok: "Well" } as const;

export function Findings({ findings, page }: { readonly findings: readonly Finding[]; readonly page: keyof typeof MOST }) {
  const most = MOST[page];
  const [all, setAll] = useState(false);
  const shown = all ? findings : findings.slice(0, most);
  return (
    <section class="findings" aria-label="What is wrong" aria-live="polite">
      {findings.length === 0 && (
        <p class="finding at-ok">
          <Mark level="ok" />
          <span>Nothing is wrong.</span>
        </p>
      )}
      <ul>
        {shown.map((finding) => (
          <li key={`${finding.subject} ${finding.text.replaceAll(/\d/g, "")}`} class={`finding at-${finding.level}`}>
            <Mark level={finding.level} />
            <span class={`kind level-${finding.level}`}>{WORDS[finding.level]}</span>
            <a href={hrefOf(placeOf(finding))}>{finding.subject}</a>
            <span>{finding.text}</span>
          </li>
        ))}
      </ul>
      {findings.length > most && (
        <button type="button" onClick={() => setAll(!all)} aria-expanded={all}>
          {all ? "Fewer" : `${findings.length - most} more`}
        </button>
      )}
    </section>
  );
}

function placeOf({ upstream, target, page }: Finding): Route {
  if (page !== undefined) return { page };
  if (upstream === undefined) return { page: "overview" };
  return target === undefined ? { page: "upstream", upstream } : { page: "target", upstream, target };
}
