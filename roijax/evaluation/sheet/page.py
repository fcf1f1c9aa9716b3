"""What a sheet's page is made of beside its content: its look, its script.

The page lays two codecs over each other: the script copies pictures that the
page holds already, and without it all of them are still there, side by side.
"""

# Told to the browser, so that a page can reach for nothing outside itself.
POLICY = (
  "default-src 'none'; img-src data:; style-src 'unsafe-inline';"
  " script-src 'unsafe-inline'"
)

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { font: 15px/1.45 system-ui, sans-serif; color: #1c1c1c;
  background: #fff; margin: 0 auto; padding: 1rem 1.5rem; max-width: 110rem; }
h1 { font-size: 1.35rem; margin: 0; }
h2 { font-size: 1.2rem; margin: 0; overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p { margin: .2rem 0 .8rem; color: #555; }
section { margin-top: 1.6rem; padding-top: 1.2rem;
  border-top: 1px solid #ddd; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; max-width: 100%; }
th, td { padding: .2rem .5rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid #e4e4e4; }
th { font-weight: 600; }
th:first-child { text-align: left; padding-left: 0; white-space: normal;
  min-width: 8rem; overflow-wrap: anywhere; }
.top { display: flex; flex-wrap: wrap; gap: .5rem 2.5rem;
  align-items: flex-end; margin: .4rem 0 1.4rem; }
.viewer { max-width: 100%; }
.stage { position: relative; display: inline-block; max-width: 100%;
  line-height: 0; touch-action: none; cursor: ew-resize; user-select: none; }
.stage img { display: block; max-width: 100%; height: auto; }
.stage .over { position: absolute; inset: 0; width: 100%; height: 100%;
  clip-path: inset(0 0 0 var(--cut, 50%)); }
.stage i { position: absolute; top: 0; bottom: 0; left: var(--cut, 50%);
  width: 2px; margin-left: -1px; background: #fff;
  box-shadow: 0 0 3px #000; }
.bar { display: flex; flex-wrap: wrap; gap: .4rem 1rem; align-items: center;
  margin-bottom: .5rem; }
.bar input { width: 16rem; }
.bar select, .bar button { font: inherit; padding: .1rem .5rem;
  max-width: 18rem; }
.grid { display: grid; gap: .9rem; overflow-x: auto;
  grid-template-columns: repeat(var(--columns), minmax(13rem, 1fr)); }
figure { margin: 0; min-width: 0; display: flex; flex-direction: column;
  justify-content: space-between; }
figcaption { font-size: .85rem; color: #555; padding-bottom: .25rem;
  overflow-wrap: anywhere; }
figcaption b { display: block; font-size: 1rem; color: #1c1c1c; }
figcaption span { display: block; }
figure img { display: block; width: 100%; height: auto; }
figure.crop img, figure.map img { image-rendering: pixelated; }
figure[data-view] img { cursor: pointer; }
.key { display: flex !important; gap: .4rem; align-items: center;
  white-space: nowrap; }
.key img { flex: 0 1 6rem; min-width: 2rem; height: .7rem; }
"""

# Every photo with its own viewer. Choices are indexes of the pictures that
# may be laid over each other, so no name passes through here as markup.
SCRIPT = """
for (const photo of document.querySelectorAll('section')) {
  const viewer = photo.querySelector('.viewer');
  const stage = viewer.querySelector('.stage');
  const [under, over] = stage.querySelectorAll('img');
  const [left, right] = viewer.querySelectorAll('select');
  const slider = viewer.querySelector('input');
  const views = [...photo.querySelectorAll('figure[data-view]')];
  const show = () => {
    under.src = views[left.value].querySelector('img').src;
    over.src = views[right.value].querySelector('img').src;
    under.alt = left.selectedOptions[0].text;
    over.alt = right.selectedOptions[0].text;
  };
  const cut = (percent) => {
    slider.value = Math.max(0, Math.min(100, percent));
    stage.style.setProperty('--cut', slider.value + '%');
  };
  const drag = (event) => {
    if (event.type === 'pointermove' && !event.buttons) return;
    event.preventDefault();
    const box = stage.getBoundingClientRect();
    cut(100 * (event.clientX - box.left) / box.width);
  };
  views.forEach((view, index) => {
    for (const select of [left, right]) {
      select.add(new Option(view.querySelector('b').textContent, index));
    }
    view.addEventListener('click', () => { right.value = index; show(); });
  });
  left.value = 0;
  right.value = 1;
  for (const select of [left, right]) select.addEventListener('change', show);
  slider.addEventListener('input', () => cut(slider.value));
  stage.addEventListener('pointerdown', drag);
  stage.addEventListener('pointermove', drag);
  viewer.querySelector('button').addEventListener('click', () => {
    cut(slider.value < 50 ? 100 : 0);
  });
  viewer.hidden = false;
  cut(50);
  show();
}
"""
