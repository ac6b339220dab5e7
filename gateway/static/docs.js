/** Swagger UI with the samples of each operation, in English or Chinese (`?lang=`). */

const WORDS = {
  en: { reference: "All on one page, without scripts", other: "中文", code: "zh", failed: "The description cannot be read; load the page again" },
  zh: { reference: "全部在一页上，无需脚本", other: "English", code: "en", failed: "无法读取描述，请重新加载页面" },
};
// A browser would wait for the end of these, which have none.
const ENDLESS = ["/events", "/ws"];

const asked = new URLSearchParams(location.search).get("lang") ?? navigator.language;
const language = asked.startsWith("zh") ? "zh" : "en";
const words = WORDS[language];

document.documentElement.lang = language;
const reference = document.getElementById("reference");
reference.textContent = words.reference;
reference.href += `?lang=${language}`;
const other = document.getElementById("language");
other.textContent = words.other;
other.lang = words.code;
other.href = `?lang=${words.code}`;

/** Commands and code of an operation, above its answers. */
const samples = ({ React: { createElement: h }, specSelectors }) => ({
  wrapComponents: {
    responses: (Responses) => (props) => {
      const found = specSelectors.specJson().getIn(["paths", props.path, props.method, "x-codeSamples"]);
      const items = (found?.toJS() ?? []).map(({ lang, source }) =>
        h("details", { key: lang, open: lang === "Shell" }, h("summary", null, lang), h("pre", null, source)));
      return h("div", null, h("div", { className: "samples" }, items), h(Responses, props));
    },
  },
  statePlugins: {
    spec: {
      wrapSelectors: {
        allowTryItOutFor: (allowed) => (state, path, method) => !ENDLESS.includes(path) && allowed(state, path, method),
      },
    },
  },
});

const answer = await fetch(`openapi.json?lang=${language}`);
if (!answer.ok) {
  document.getElementById("ui").textContent = `${words.failed} (openapi.json: ${answer.status})`;
  throw new Error(`openapi.json: ${answer.status}`);
}
const description = await answer.json();
document.title = `${description.info.title}: API`;
// Requests go to where the page came from, whatever the service is called elsewhere.
description.servers = [{ url: new URL(".", location.href).href.replace(/\/$/, "") }];
window.SwaggerUIBundle({
  spec: description,
  dom_id: "#ui",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  filter: true,
  validatorUrl: null,
  plugins: [samples],
});
