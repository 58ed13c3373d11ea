// What of a page its visitors could not see, read or operate: a list of lines, empty if there is nothing.
() => {
  const wrong = [];
  const markup = (one) => one.outerHTML.replace(/\s+/g, " ").slice(0, 160);
  const all = (selector) => [...document.querySelectorAll(selector)].filter((one) => one.checkVisibility());

  const labelled = (one) => (one.getAttribute("aria-labelledby") || "").split(" ")
    .map((id) => document.getElementById(id)?.innerText).join(" ").trim();
  const named = (one) => one.getAttribute("aria-label") || labelled(one) || one.labels?.[0]?.innerText
    || one.innerText?.trim() || one.title || one.querySelector("img")?.alt;
  const operable = "button, input, select, textarea, summary, video, a[href], [role=button], [role=radiogroup], "
    + "[role=tab], [role=region], [tabindex='0'], progress, fieldset";
  for (const one of all(operable)) if (one.type !== "hidden" && !named(one)) wrong.push(`no name: ${markup(one)}`);
  for (const one of all("img")) if (!one.hasAttribute("alt")) wrong.push(`no text instead: ${markup(one)}`);
  for (const one of all("table")) if (!one.caption) wrong.push(`no caption: ${markup(one)}`);

  let level = 0;
  for (const one of all("h1, h2, h3, h4, h5, h6")) {
    const own = Number(one.tagName[1]);
    if (own > level + 1) wrong.push(`a heading of level ${own} after ${level}: ${markup(one)}`);
    level = own;
  }
  if (all("h1").length !== 1) wrong.push(`${all("h1").length} headings of the first level`);
  const ids = all("[id]:not([id=''])").map((one) => one.id);
  for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) wrong.push(`two have the id ${id}`);

  // one pixel painted tells any notation of a colour
  const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", {
    willReadFrequently: true,
  });
  const painted = (layers) => {
    context.globalAlpha = 1;
    context.fillStyle = "white";
    context.fillRect(0, 0, 1, 1);
    for (const [colour, opacity] of layers) {
      context.globalAlpha = opacity;
      context.fillStyle = colour;
      context.fillRect(0, 0, 1, 1);
    }
    return context.getImageData(0, 0, 1, 1).data;
  };
  const luminance = (pixel) => {
    const [r, g, b] = [...pixel].map((part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const one = texts.currentNode.parentElement, style = getComputedStyle(one);
    if (!texts.currentNode.data.trim() || !one.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    // a player's controls come and go above the film, on a shade of their own
    if (one.closest(":disabled, script, style, svg, .mien-hidden, .controls, [aria-hidden=true]")) continue;
    if (one.getBoundingClientRect().width < 2) continue;
    const layers = [];
    let opacity = 1;
    for (let up = one; up; up = up.parentElement) {
      layers.unshift([getComputedStyle(up).backgroundColor, 1]);
      opacity *= Number(getComputedStyle(up).opacity);
    }
    const [dark, light] = [luminance(painted(layers)), luminance(painted([...layers, [style.color, opacity]]))].sort();
    const ratio = (Math.max(dark, light) + 0.05) / (Math.min(dark, light) + 0.05);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) wrong.push(`contrast ${ratio.toFixed(2)}: ${markup(one)}`);
  }
  return wrong;
}
