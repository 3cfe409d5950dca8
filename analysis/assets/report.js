// Draws every figure of the page: the variant that fits its width, in the colours of the page's scheme.
(() => {
  "use strict";
  const PRINT_WIDTH = 680; // CSS pixels of text width on A4 and Letter
  const themes = JSON.parse(document.getElementById("themes").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "toImage"] };
  const figures = [...document.querySelectorAll(".plot")].map((host) => ({
    host,
    variants: JSON.parse(host.nextElementSibling.textContent),
    shown: "",
  }));

  const variantFor = (figure, width) => figure.variants.find((variant) => variant.from <= width) ?? figure.variants.at(-1);

  const styled = (variant, theme, extra) => {
    let text = JSON.stringify(variant); // a copy, since Plotly writes into what it draws
    for (const [light, other] of Object.entries(themes[theme].colours)) text = text.replaceAll(light, other);
    const { data, layout } = JSON.parse(text);
    return { data, layout: { ...layout, template: themes[theme].template, ...extra } };
  };

  const draw = (figure, { theme = dark.matches ? "dark" : "light", width = null } = {}) => {
    const room = width ?? figure.host.clientWidth;
    const variant = variantFor(figure, room);
    const state = [variant.from, theme, width].join();
    if (state === figure.shown) return;
    figure.shown = state;
    figure.host.style.minHeight = `${variant.layout.height}px`;
    const { data, layout } = styled(variant, theme, width ? { width } : { autosize: true });
    Plotly.react(figure.host, data, layout, config);
  };

  let printing = false;
  const drawInTurn = async () => {
    for (const figure of figures) {
      if (printing) return;
      draw(figure);
      await new Promise((resume) => setTimeout(resume)); // the page can be read and scrolled meanwhile
    }
  };
  drawInTurn();
  window.addEventListener("resize", drawInTurn);
  dark.addEventListener("change", drawInTurn);

  let opened = []; // folds that are open only while printing
  window.addEventListener("beforeprint", () => {
    printing = true;
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((fold) => (fold.open = true));
    figures.forEach((figure) => draw(figure, { theme: "light", width: PRINT_WIDTH }));
  });
  window.addEventListener("afterprint", () => {
    printing = false;
    opened.forEach((fold) => (fold.open = false));
    drawInTurn();
  });

  for (const figure of figures) {
    for (const button of figure.host.closest("figure").querySelectorAll("button[data-format]")) {
      button.setAttribute("aria-label", `Download this figure as ${button.textContent}`);
      button.addEventListener("click", () => {
        const variant = figure.variants[0];
        const size = { width: 1200, height: variant.layout.height };
        const options = { format: button.dataset.format, filename: figure.host.dataset.name, ...size };
        Plotly.downloadImage(styled(variant, "light", size), { scale: 2, ...options });
      });
    }
  }
})();
