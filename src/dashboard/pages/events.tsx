/** The timeline of the whole instance. */
import { Events } from "../parts/events.tsx";

export function EventsPage() {
  return (
    <>
      <h1>Events</h1>
      <Events limit={500} first={100} />
    </>
  );
}
