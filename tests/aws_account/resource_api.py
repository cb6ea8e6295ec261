"""An HTTP API: what `AWS::ApiGatewayV2::*` makes, in front of a function.

The API, its integration, route and stage are moto's; what listens is this account's. Known is the
one shape we use: one integration with a function, reached by the route ``$default``.
"""

from __future__ import annotations

from typing import Any

from aws_account.resources import Made, MustReplace, World, tags_of


class _Replaced:
    """Any change makes a new one, unless a class knows better."""

    def update(self, world: World, made: Made, old: dict[str, Any], new: dict[str, Any]) -> Made:
        raise MustReplace


class Api(_Replaced):
    def create(self, world: World, name: str, given: dict[str, Any]) -> Made:
        if given.get("ProtocolType") != "HTTP" or "Body" in given or "Target" in given:
            raise ValueError("only plain HTTP APIs are emulated")
        tags = {tag["Key"]: tag["Value"] for tag in tags_of(world, given)}
        found = world.clients["apigatewayv2"].create_api(
            Name=given["Name"], ProtocolType="HTTP", Tags=tags
        )
        url = world.functions.open_api(found["ApiId"], given)
        return Made(found["ApiId"], attributes={"ApiId": found["ApiId"], "ApiEndpoint": url})

    def delete(self, world: World, made: Made, given: dict[str, Any]) -> None:
        world.functions.close_url(made.physical)
        world.clients["apigatewayv2"].delete_api(ApiId=made.physical)


class Integration(_Replaced):
    def create(self, world: World, name: str, given: dict[str, Any]) -> Made:
        if given["IntegrationType"] != "AWS_PROXY":
            raise ValueError("only AWS_PROXY integrations are emulated")
        found = world.clients["apigatewayv2"].create_integration(
            ApiId=given["ApiId"],
            IntegrationType="AWS_PROXY",
            IntegrationUri=given["IntegrationUri"],
            PayloadFormatVersion=given["PayloadFormatVersion"],
        )
        world.functions.integrate(
            given["ApiId"], given["IntegrationUri"], given["PayloadFormatVersion"]
        )
        return Made(found["IntegrationId"])

    def delete(self, world: World, made: Made, given: dict[str, Any]) -> None:
        world.clients["apigatewayv2"].delete_integration(
            ApiId=given["ApiId"], IntegrationId=made.physical
        )


class Route(_Replaced):
    def create(self, world: World, name: str, given: dict[str, Any]) -> Made:
        if given["RouteKey"] != "$default":
            raise ValueError("only the route $default is emulated")
        found = world.clients["apigatewayv2"].create_route(
            ApiId=given["ApiId"], RouteKey=given["RouteKey"], Target=given["Target"]
        )
        return Made(found["RouteId"])

    def delete(self, world: World, made: Made, given: dict[str, Any]) -> None:
        world.clients["apigatewayv2"].delete_route(ApiId=given["ApiId"], RouteId=made.physical)


class Stage(_Replaced):
    def create(self, world: World, name: str, given: dict[str, Any]) -> Made:
        if given["StageName"] != "$default" or not given.get("AutoDeploy"):
            raise ValueError("only the stage $default that deploys itself is emulated")
        world.clients["apigatewayv2"].create_stage(
            ApiId=given["ApiId"], StageName="$default", AutoDeploy=True
        )
        return Made("$default")

    def delete(self, world: World, made: Made, given: dict[str, Any]) -> None:
        world.clients["apigatewayv2"].delete_stage(ApiId=given["ApiId"], StageName="$default")


PROVIDERS: dict[str, Any] = {
    "AWS::ApiGatewayV2::Api": Api(),
    "AWS::ApiGatewayV2::Integration": Integration(),
    "AWS::ApiGatewayV2::Route": Route(),
    "AWS::ApiGatewayV2::Stage": Stage(),
}
