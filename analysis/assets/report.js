// Draws the figures of the page as the reader comes to them, and shows only what the filters let through.
(() => {
  "use strict";
  const PRINT_WIDTH = 680; // CSS pixels of text width on A4 and Letter
  const AHEAD = "800px"; // how far outside the window a figure is drawn
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const themes = JSON.parse(document.getElementById("themes").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "toImage"] };
  const figures = new Map(all(".plot").map((host) => [host, { host, forms: JSON.parse(host.dataset.forms), shown: "" }]));

  const content = (figure) => (figure.content ??= JSON.parse(figure.host.nextElementSibling.textContent));

  const formFor = (figure, width) => {
    const place = figure.forms.findIndex(([from]) => from <= width);
    return place < 0 ? figure.forms.length - 1 : place;
  };

  const styled = (figure, form, theme, extra) => {
    const { arrays, variants } = content(figure);
    let text = JSON.stringify(variants[form]); // a copy, since Plotly writes into what it draws
    for (const [light, other] of Object.entries(themes[theme].colours)) text = text.replaceAll(light, other);
    const { data, layout } = JSON.parse(text, (_, value) => (value?.$ === undefined ? value : arrays[value.$].slice()));
    return { data, layout: { ...layout, template: themes[theme].template, ...extra } };
  };

  const makeRoom = (figure) => {
    figure.host.style.minHeight = `${figure.forms[formFor(figure, figure.host.clientWidth)][1]}px`;
  };

  const draw = (figure, { theme = dark.matches ? "dark" : "light", width = null } = {}) => {
    const room = width ?? figure.host.clientWidth;
    if (room === 0) return; // folded, or filtered away
    const form = formFor(figure, room);
    const state = [form, theme, width].join();
    if (state === figure.shown) {
      if (figure.host.clientWidth !== figure.room) Plotly.Plots.resize(figure.host);
    } else {
      figure.shown = state;
      figure.host.style.minHeight = `${figure.forms[form][1]}px`;
      const { data, layout } = styled(figure, form, theme, width ? { width } : { autosize: true });
      Plotly.react(figure.host, data, layout, config);
    }
    figure.room = figure.host.clientWidth;
  };

  let printing = false;
  let queue = Promise.resolve();
  const drawLater = (figure) => {
    queue = queue.then(() => {
      if (!printing && figure.isNear) draw(figure);
      return new Promise((resume) => setTimeout(resume)); // the page can be read and scrolled meanwhile
    });
  };
  const watcher = new IntersectionObserver(
    (changes) => {
      for (const { target, isIntersecting } of changes) {
        const figure = figures.get(target);
        figure.isNear = isIntersecting;
        if (isIntersecting) drawLater(figure);
      }
    },
    { rootMargin: AHEAD },
  );
  const redraw = () => {
    for (const figure of figures.values()) {
      if (figure.host.clientWidth > 0) makeRoom(figure);
      if (figure.isNear) drawLater(figure);
    }
  };
  figures.forEach((figure) => (makeRoom(figure), watcher.observe(figure.host)));
  window.addEventListener("resize", redraw);
  dark.addEventListener("change", redraw);
  window.addEventListener("beforeprint", () => {
    printing = true;
    figures.forEach((figure) => draw(figure, { theme: "light", width: PRINT_WIDTH }));
  });
  window.addEventListener("afterprint", () => {
    printing = false;
    redraw();
  });

  for (const figure of figures.values()) {
    for (const button of all("button[data-format]", figure.host.closest("figure"))) {
      button.setAttribute("aria-label", `Download this figure as ${button.textContent}`);
      button.addEventListener("click", () => {
        const size = { width: 1200, height: figure.forms[0][1] };
        const options = { format: button.dataset.format, filename: figure.host.dataset.name, ...size };
        Plotly.downloadImage(styled(figure, 0, "light", size), { scale: 2, ...options });
      });
    }
  }

  // Filters: a tagged block or row is shown if each of its axes holds the chosen value or none is chosen.
  const form = document.querySelector(".filters");
  const selects = all("select", form);
  const tagged = new Set(all(selects.map(({ name }) => `main [data-${name}]`).join() || "none"));
  const chosen = () => selects.filter(({ value }) => value);
  const counted = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

  const say = (before, isEmpty, text) => {
    let note = before.previousElementSibling;
    if (!note?.classList.contains("emptied")) {
      if (!isEmpty) return;
      note = Object.assign(document.createElement("p"), { className: "emptied" });
      before.before(note);
    }
    note.textContent = text;
    note.hidden = !isEmpty;
  };

  const filter = () => {
    const choice = chosen();
    const words = choice.map(({ value }) => value).join(" · ");
    const hidden = { part: 0, line: 0 };
    for (const element of tagged) {
      element.hidden = choice.some(({ name, value }) => !(element.dataset[name]?.split("\n") ?? [value]).includes(value));
      if (element.hidden && !element.parentElement.closest("[hidden]")) hidden[element.matches("tr, li") ? "line" : "part"]++;
    }
    for (const table of all("main .scroll")) {
      const rows = all("tbody tr", table);
      table.hidden = rows.length > 0 && rows.every((row) => row.hidden);
      say(table, table.hidden, `No row of this table is about ${words}: ${table.getAttribute("aria-label")}.`);
    }
    for (const section of all("main > section")) {
      const parts = all("div", section).filter((part) => tagged.has(part));
      const isEmpty = parts.length > 0 && parts.every((part) => part.closest("[hidden]"));
      say(section.querySelector("h2").nextElementSibling, isEmpty, `Nothing in this section is about ${words}.`);
      document.querySelector(`nav a[href="#${section.id}"]`).parentElement.classList.toggle("empty", isEmpty);
    }
    const what = Object.entries(hidden).filter(([, number]) => number > 0);
    const told = what.map(([noun, number]) => counted(number, noun)).join(" and ") || "nothing";
    form.querySelector(".filtered").textContent = choice.length ? `Shown: ${words}; hidden: ${told}.` : "";
  };

  // The choice stands in the address, beside the place on the page: #at=accuracy&task=bit-xor
  const written = () => new URLSearchParams(chosen().map(({ name, value }) => [name, value]));
  const reveal = (id) => {
    const target = document.getElementById(id);
    for (let fold = target?.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    target?.scrollIntoView();
  };
  const read = () => {
    const hash = decodeURIComponent(location.hash.slice(1));
    if (!hash.includes("=")) {
      if (chosen().length) history.replaceState(null, "", `#${new URLSearchParams({ at: hash })}&${written()}`);
      return reveal(hash);
    }
    const wanted = new URLSearchParams(location.hash.slice(1));
    for (const select of selects) {
      const value = wanted.get(select.name) ?? "";
      select.value = [...select.options].some((option) => option.value === value) ? value : "";
    }
    filter();
    if (wanted.get("at")) reveal(wanted.get("at"));
  };
  form.hidden = selects.length === 0;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", () => {
    filter();
    history.replaceState(null, "", `#${written()}`);
  });
  window.addEventListener("hashchange", read);
  if (location.hash) read();

  // Contents: closed where they would push the page down; beside the text they say where one is.
  const contents = document.querySelector("nav details");
  contents.open = window.matchMedia("(min-width: 1240px)").matches;
  const spy = new IntersectionObserver(
    (changes) => {
      for (const { target, isIntersecting } of changes) {
        const link = document.querySelector(`nav a[href="#${target.id}"]`);
        link.parentElement.classList.toggle("here", isIntersecting);
        if (isIntersecting) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    },
    { rootMargin: "-12% 0px -80%" },
  );
  all("main > section").forEach((section) => spy.observe(section));
  const unfold = document.querySelector(".unfold");
  unfold.hidden = all("main details").length === 0;
  unfold.addEventListener("click", () => {
    const isOpen = unfold.getAttribute("aria-pressed") === "false";
    all("main details").forEach((fold) => (fold.open = isOpen));
    unfold.setAttribute("aria-pressed", String(isOpen));
  });
})();
