// Comfort, and nothing that the pages cannot do without it. Text becomes text here, never markup: the
// Content-Security-Policy of the pages (require-trusted-types-for) holds that.

const find = (selector, root = document) => root.querySelector(selector);
const each = (selector, work, root = document) => root.querySelectorAll(selector).forEach(work);

document.documentElement.classList.add("js");

// say tells those who listen instead of looking. The status line is in every page from its start, as screen readers
// want it.
const say = (text) => {
  const line = find("#say");
  line.textContent = "";
  setTimeout(() => { line.textContent = text; }, 50); // the same text twice is news twice
};

// ---- Copy. "Copied" is said when the clipboard has it, and not before.

// written is the text of an element without its masks.
const written = (element) => {
  const copy = element.cloneNode(true);
  each(".mask", (mask) => mask.remove(), copy);
  return copy.textContent.trim();
};

// offer selects the text, for browsers or pages without a clipboard.
const offer = (element) => {
  const show = find("#show");
  if (show && element.closest("#reveal")) show.checked = true;
  element.closest("details")?.setAttribute("open", "");
  getSelection().selectAllChildren(element);
  return /Mac|iP/.test(navigator.platform) ? "Press ⌘C to copy" : "Press Ctrl+C to copy";
};

let taken = () => {}; // the secret has left this page

each("[data-copy]", (button) => {
  const label = find(".label", button), before = label?.textContent;
  // What a button without a name copies stands before it.
  const source = button.dataset.copy ? document.getElementById(button.dataset.copy) : button.previousElementSibling;
  let timer;
  button.addEventListener("click", async () => {
    let news = "Copied";
    try {
      await navigator.clipboard.writeText(written(source));
      button.classList.add("copied");
      if (find(".whole", source)) taken();
    } catch {
      button.classList.remove("copied");
      news = offer(source);
    }
    if (label) label.textContent = news;
    say(news);
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (label) label.textContent = before;
      button.classList.remove("copied");
    }, 4000);
  });
});

// ---- The page with the secret.

const typing = () => [...document.querySelectorAll("input:not([type]), textarea")].some((field) => field.value !== field.defaultValue);

// watch asks for news of the element while somebody can see it.
const watch = (element) => {
  const address = new URL(element.dataset.from, location.href); // before the page takes another address
  let failures = 0;
  const ask = async () => {
    if (document.visibilityState === "visible") {
      try {
        const answer = await fetch(address, { headers: { Accept: "application/json" } });
        if (answer.status === 401) find("[data-news]", element).textContent = "You are signed out: there is no more news here.";
        if (answer.status >= 400 && answer.status < 500) return; // signed out, or gone: no use asking on
        if (!answer.ok) throw answer.status;
        const news = await answer.json();
        failures = 0;
        each("[data-news]", (place) => { place.textContent = news[place.dataset.news] ?? ""; }, element);
        if (news.state !== element.dataset.state) {
          element.dataset.state = news.state;
          say(news.say);
        }
        // The page says more of what is over. Whoever has come somewhere on it, or is typing, is not thrown back.
        if (news.state === "over" && !typing() && [document.body, null].includes(document.activeElement)) return location.reload();
      } catch {
        if (++failures > 30) return;
      }
    }
    setTimeout(ask, element.dataset.state === "received" ? 10000 : 2000);
  };
  setTimeout(ask, 1000);
};
each("[data-from]", watch);

const reveal = find("#reveal");
if (reveal) {
  const box = find("#saved"), done = find("#done");
  let copied = false;
  const settle = () => {
    box.required = !copied;
    done.disabled = !copied && !box.checked;
  };
  taken = () => { copied = true; settle(); };
  box.addEventListener("change", settle);
  done.form.addEventListener("submit", (leave) => { leave.preventDefault(); location.assign(done.form.action); }); // without a "?"
  settle();

  document.addEventListener("copy", () => { // by hand, after the button could not
    const secret = find("#secret .whole");
    if (secret && String(getSelection()).includes(secret.textContent)) taken();
  });
  addEventListener("beforeunload", (leave) => { if (done.disabled) leave.preventDefault(); });

  // From here on the page's address is one that says that the secret cannot be shown again: a reload or Back leads
  // there instead of sending the form once more. Relative addresses are made absolute before.
  each('a[href]:not([href^="#"]), form[action]', (e) => { e.tagName === "FORM" ? (e.action = e.action) : (e.href = e.href); });
  history.replaceState(null, "", reveal.dataset.gone);
  addEventListener("pagehide", () => each(".whole", (secret) => secret.remove())); // nothing for the back cache
  addEventListener("pageshow", (shown) => { if (shown.persisted) location.reload(); });
  find("[data-copy=secret]").focus();
}

// What a change came to is said once, and not to who keeps the address.
if (new URLSearchParams(location.search).has("done")) history.replaceState(null, "", location.pathname + location.hash);

// ---- Forms.

// The answer to the second click would take the place of that to the first, which has the secret.
each("form[method=post]", (form) => {
  let sent = -Infinity;
  form.addEventListener("submit", (leave) => {
    if (leave.timeStamp - sent < 3000) leave.preventDefault();
    else sent = leave.timeStamp;
  });
});

const picker = find("[data-summary]");
if (picker) {
  const summary = document.getElementById(picker.dataset.summary), nothing = summary.textContent;
  const count = () => {
    const names = [...picker.querySelectorAll("input:checked")].map((box) => box.value);
    const writes = names.filter((name) => !name.endsWith(":read")).length;
    summary.textContent = names.length === 0 ? nothing :
      `${names.length} ${names.length === 1 ? "scope" : "scopes"}${writes ? `, ${writes} with write access` : ", read-only"}: ${names.join(", ")}`;
  };
  picker.addEventListener("change", count);
  count();
}

// What cannot be undone waits for the name; the server asks for it, too.
each("input[data-confirm]", (input) => {
  const button = find("button", input.form);
  const check = () => { button.disabled = ![input.dataset.confirm, input.dataset.or].includes(input.value.trim()); };
  input.addEventListener("input", check);
  check();
});

// A link into something folded unfolds it, also where browsers do not do so by themselves.
const unfold = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1)), fold = target && target.closest("details");
  if (fold && !fold.open) {
    fold.open = true;
    target.scrollIntoView();
  }
};
addEventListener("hashchange", unfold);
unfold();

// ---- Keys of the keyboard. They can be switched off, as single letters must (WCAG 2.1.4).

const help = find("#help"), single = find("#single");
const stored = (value) => {
  try {
    if (value !== undefined) localStorage.setItem("latchkey-keys", value);
    return localStorage.getItem("latchkey-keys");
  } catch {
    return null; // no storage: on
  }
};
single.checked = stored() !== "off";
single.addEventListener("change", () => stored(single.checked ? "on" : "off"));
find("#open-help").addEventListener("click", () => help.showModal());

addEventListener("keydown", (press) => {
  if (!single.checked || press.defaultPrevented || press.ctrlKey || press.metaKey || press.altKey || help.open ||
    press.target.closest("input:not([type=checkbox], [type=radio]), textarea, select")) return;
  const target = find(`[data-key="${CSS.escape(press.key)}"]`);
  if (!target && press.key === "/") location.assign(find(".brand").href + "#search"); // where the search is
  if (!target) return;
  press.preventDefault();
  target.matches("input") ? target.focus() : target.click();
});
