'use strict';
// Titles of points on touch screens, which have no hover.
(function () {
  var tip = document.getElementById('tip');
  document.addEventListener('click', function (event) {
    var title = event.target.querySelector ? event.target.querySelector(':scope > title') : null;
    tip.hidden = !title;
    tip.textContent = title ? title.textContent : '';
  });
  // Another coloring of the map.
  var choice = document.getElementById('coloring');
  if (!choice) { return; }
  choice.addEventListener('change', function () {
    var number = Number(choice.value);
    document.querySelectorAll('#map circle[data-c]').forEach(function (point) {
      var group = point.getAttribute('data-c').split(',')[number];
      point.setAttribute('class', 'd f' + (group === '' ? 8 : group));
    });
    document.querySelectorAll('#map .legend').forEach(function (legend, place) {
      legend.hidden = place !== number;
    });
  });
})();
