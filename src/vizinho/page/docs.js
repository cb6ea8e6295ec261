// Swagger UI wants a call; an inline script would need a hole in the content security policy.
window.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  validatorUrl: null,
});
