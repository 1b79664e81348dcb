// What the pages do beyond plain forms; everything works without it.
// Nothing here acts on its own: a link's code is taken out of the address and
// asked for a preview, which changes nothing. Only a person's click does more.
(function () {
  'use strict'

  // The code stands in the fragment, which no server sees. It moves into the
  // form and out of the address bar and the history.
  function open () {
    var card = document.querySelector('[data-code]')
    var code = location.hash.slice(1)
    if (!card || !/^cg[a-z]_[\w-]{20,150}$/.test(code)) return
    history.replaceState(null, '', location.pathname)
    var form = card.querySelector('form')
    form.elements.code.value = code
    card.querySelector('.opening').hidden = false
    form.hidden = true
    form.submit()
  }
  open()
  addEventListener('hashchange', open)

  // Going back to a page shows it as it was before it was sent.
  addEventListener('pageshow', function (event) {
    if (!event.persisted) return
    document.querySelectorAll('form[data-once]').forEach(function (form) {
      form.hidden = false
      delete form.dataset.sent
    })
    var opening = document.querySelector('.opening')
    if (opening) opening.hidden = true
  })

  // A second click while the first is under way sends nothing.
  document.addEventListener('submit', function (event) {
    var form = event.target
    if (!form.matches('[data-once]')) return
    if (form.dataset.sent) event.preventDefault()
    form.dataset.sent = 'yes'
    setTimeout(function () { delete form.dataset.sent }, 10000)
  })

  var wrong = document.querySelector('[data-focus]')
  if (wrong) wrong.focus()
})()
