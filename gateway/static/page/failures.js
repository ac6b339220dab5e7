/** What a failure's code means and what to do about it, as the service says it in the page's language. */

import { api } from "./service.js";

const known = new Map(); // language → code → { meaning, action }

/** Asked for once in each language; `show` is called when the words are there. */
export function advice(code, language, show) {
  const codes = known.get(language);
  if (codes instanceof Map) return codes.get(code);
  if (codes === undefined) {
    known.set(language, "asked");
    api("GET", `api/failures?lang=${language}`).then(
      ({ failures }) => {
        known.set(language, new Map(failures.map((failure) => [failure.code, failure])));
        show();
      },
      () => known.delete(language), // it is asked for again with the next failure that is shown
    );
  }
  return undefined;
}
