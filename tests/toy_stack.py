"""A function that says what it was asked, and the smallest stack that has one of all kinds."""

from __future__ import annotations

HANDLER = """
import json, os
def handler(event, context):
    told = {"event": event, "word": os.environ["WORD"], "endpoint": os.environ["AWS_ENDPOINT_URL"]}
    return {"statusCode": 200, "headers": {"content-type": "application/json"},
            "body": json.dumps(told)}
"""
TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  Word: {Type: String}
  Bucket: {Type: String, Default: code-bucket}
Conditions:
  Loud: !Equals [!Ref Word, loud]
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement:
          - {Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: "sts:AssumeRole"}
      Policies:
        - PolicyName: read
          PolicyDocument:
            Version: "2012-10-17"
            Statement:
              - {Effect: Allow, Action: "s3:GetObject", Resource: !Sub "arn:aws:s3:::${Bucket}/a/*"}
  Function:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.11
      Handler: app.handler
      Role: !GetAtt Role.Arn
      CodeUri: {Bucket: !Ref Bucket, Key: code.zip}
      AutoPublishAlias: live
      AutoPublishCodeSha256: !Ref Word
      VersionDeletionPolicy: Delete
      Environment: {Variables: {WORD: !Join ["", [!Ref Word, "!"]]}}
      FunctionUrlConfig: {AuthType: NONE}
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Condition: Loud
    Properties:
      {Namespace: AWS/Lambda, MetricName: Errors, Period: 60, EvaluationPeriods: 1, Threshold: 1,
       ComparisonOperator: GreaterThanThreshold, Statistic: Sum}
Outputs:
  Url: {Value: !GetAtt FunctionUrl.FunctionUrl}
"""
