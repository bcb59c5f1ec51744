// Pictures follow the site's switch between light and dark; by themselves they follow the system alone.
const follow = () => {
  const dark = document.body.getAttribute("data-md-color-scheme") === "slate";
  for (const source of document.querySelectorAll('source[srcset*="-dark."]')) source.media = dark ? "all" : "not all";
};
new MutationObserver(follow).observe(document.body, { attributeFilter: ["data-md-color-scheme"] });
follow();
